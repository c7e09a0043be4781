import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'

const SERVER = process.env['DIEMCAU_SERVER'] ?? 'http://localhost:8080'
const PAGES = ['index', 'host', 'hall', 'delegate']

/** Vite's development server answers the same addresses as the real one. */
function pageOf(path: string): string | undefined {
  if (/^\/(d|j)(\/|$)/.test(path)) return '/delegate.html'
  if (/^\/hall(\/|$)/.test(path)) return '/hall.html'
  return path === '/host' ? '/host.html' : undefined
}

/** Beside each asset its compressed forms, which the server sends to whoever takes them: lines here are thin. */
function compressAssets(folder: string): void {
  for (const name of readdirSync(folder).filter((file) => /\.(js|css|svg)$/.test(file))) {
    const content = readFileSync(join(folder, name))
    writeFileSync(join(folder, `${name}.br`), brotliCompressSync(content))
    writeFileSync(join(folder, `${name}.gz`), gzipSync(content, { level: 9 }))
  }
}

export default defineConfig({
  plugins: [
    svelte(),
    {
      name: 'pages',
      writeBundle: ({ dir }) => compressAssets(join(dir ?? 'dist', 'assets')),
      configureServer: (server) => {
        server.middlewares.use((request, _response, next) => {
          request.url = pageOf(request.url?.split('?')[0] ?? '') ?? request.url
          next()
        })
      },
    },
  ],
  build: {
    target: ['chrome94', 'safari15.4', 'firefox102'],
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rolldownOptions: { input: PAGES.map((page) => `${page}.html`) },
  },
  server: { proxy: { '/api': SERVER, '/socket.io': { target: SERVER, ws: true } } },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
})
