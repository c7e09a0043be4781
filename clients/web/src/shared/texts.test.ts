import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { reasons as en } from './texts/en/shared'
import { reasons as vi } from './texts/vi/shared'

interface Schema {
  $defs: Record<'RefusalCode' | 'ErrorCode', { enum: string[] }>
}
const schema = JSON.parse(readFileSync(new URL('../../schema.json', import.meta.url), 'utf8')) as Schema
const codes = [...schema.$defs.RefusalCode.enum, ...schema.$defs.ErrorCode.enum]

test.each([...new Set(codes)])('%s has a text in both languages', (code) => {
  expect(vi[code as keyof typeof vi]).toBeTruthy()
  expect(en[code as keyof typeof en]).toBeTruthy()
})
