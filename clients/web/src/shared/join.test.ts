import { expect, test } from 'vitest'
import { pageFor, tidyCode, tokenInPath } from './join'

test('codes are forgiven small letters, spaces and hyphens', () => {
  expect(tidyCode(' k7m-2qx ')).toBe('K7M2QX')
  expect(tidyCode('k7m 2qx9')).toBe('K7M2QX')
})

test('a token leads to its page whether or not the page names it', () => {
  expect(pageFor({ token: 't.1', kind: 'hall', page: '/hall/t.1' })).toBe('/hall/t.1')
  expect(pageFor({ token: 't.1', kind: 'delegate', page: '/d' })).toBe('/d/t.1')
})

test('the token in an address', () => {
  expect(tokenInPath('/d/abc.def')).toBe('abc.def')
  expect(tokenInPath('/d/')).toBeUndefined()
})
