// Generates src/shared/protocol.ts from schema.json; with --check only says whether it is stale.
import { readFileSync, writeFileSync } from 'node:fs'
import { compile } from 'json-schema-to-typescript'

const SCHEMA = new URL('../schema.json', import.meta.url)
const TARGET = new URL('../src/shared/protocol.ts', import.meta.url)
const BANNER = '/* Generated from schema.json by `npm run types`. Do not edit. */'

const schema = JSON.parse(readFileSync(SCHEMA, 'utf8'))
// The compiler tells where each interface comes from; here all come from the one schema.
const withoutOrigins = (text) =>
  text.replace(/\n( \*\n)? \* This interface was referenced by [^\n]*\n \* via the `definition` [^\n]*/g, '').replace(/\/\*\*\n \*\/\n/g, '')
const code = withoutOrigins(await compile(schema, 'Protocol', {
  bannerComment: BANNER,
  additionalProperties: false,
  unreachableDefinitions: true,
  style: { semi: false, singleQuote: true },
}))
const current = () => {
  try {
    return readFileSync(TARGET, 'utf8')
  } catch {
    return ''
  }
}

if (!process.argv.includes('--check')) {
  writeFileSync(TARGET, code)
} else if (current() !== code) {
  console.error('src/shared/protocol.ts is stale: run `npm run types`')
  process.exit(1)
}
