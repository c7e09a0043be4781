import js from '@eslint/js'
import svelte from 'eslint-plugin-svelte'
import globals from 'globals'
import ts from 'typescript-eslint'
import svelteConfig from './svelte.config.js'

export default ts.config(
  { ignores: ['dist', 'node_modules', 'src/shared/protocol.ts'] },
  js.configs.recommended,
  ...ts.configs.strict,
  ...svelte.configs.recommended,
  { languageOptions: { globals: { ...globals.browser, ...globals.node } } },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser, svelteConfig } },
  },
  {
    rules: {
      'no-undef': 'off',
      'no-restricted-imports': ['error', { paths: [{ name: 'socket.io-client', message: 'Only shared/socket.ts speaks Socket.IO.' }] }],
      'svelte/no-navigation-without-resolve': 'off',
      // The formatter's `{' '}` keeps a space; plain Map, Set and Date are meant where no reactivity is.
      'svelte/no-useless-mustaches': 'off',
      'svelte/prefer-svelte-reactivity': 'off',
    },
  },
  { files: ['src/shared/socket.ts'], rules: { 'no-restricted-imports': 'off' } },
)
