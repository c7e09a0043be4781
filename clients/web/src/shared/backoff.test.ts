import { expect, test } from 'vitest'
import { Backoff } from './backoff'

test('pauses grow from half a second to ten seconds', () => {
  const backoff = new Backoff()
  const longest = Array.from({ length: 8 }, () => backoff.next(1))
  expect(longest).toEqual([1_500, 2_500, 4_500, 8_500, 10_000, 10_000, 10_000, 10_000])
  expect(backoff.next(0)).toBe(500)
  backoff.reset()
  expect(backoff.next(0.5)).toBe(1_000)
})

test('all who are told of a restart come back within eight seconds, not at once', () => {
  const backoff = new Backoff()
  expect([0, 0.5, 1].map((chance) => backoff.restart(chance))).toEqual([500, 4_500, 8_500])
})
