import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'

const SERVER = process.env['DIEMCAU_SERVER'] ?? 'http://localhost:8080'
/**
 * Built one after the other into the same folder. The phone's page has a build of its own, so that it is one script and one
 * style sheet, with nothing in them that only other pages need.
 */
const PASSES: Record<string, string[]> = {
  desk: ['index.html', 'host.html', 'hall.html'],
  phone: ['delegate.html', 'src/delegate/worker.ts'],
}

/** Vite's development server answers the same addresses as the real one. */
function pageOf(path: string): string | undefined {
  if (/^\/(d|j)(\/|$)/.test(path)) return '/delegate.html'
  if (/^\/hall(\/|$)/.test(path)) return '/hall.html'
  return path === '/host' ? '/host.html' : undefined
}

/** Beside each file its compressed forms, which the server sends to whoever takes them: lines here are thin. */
function compress(folder: string): void {
  for (const name of readdirSync(folder).filter((file) => /\.(html|js|css|svg)$/.test(file))) {
    const content = readFileSync(join(folder, name))
    writeFileSync(join(folder, `${name}.br`), brotliCompressSync(content))
    writeFileSync(join(folder, `${name}.gz`), gzipSync(content, { level: 9 }))
  }
}

/** Tell the phone's worker what the page is made of; whatever changes of that changes the worker, and so its version. */
function fillWorker(dist: string, files: string[]): void {
  const page = readFileSync(join(dist, 'delegate.html'), 'utf8')
  const assets = files.filter((name) => name.startsWith('assets/')).map((name) => `/${name}`)
  const version = createHash('sha256').update(page + assets.join()).digest('hex').slice(0, 16)
  const worker = join(dist, 'worker.js')
  const filled = readFileSync(worker, 'utf8').replace('__SHELL__', JSON.stringify({ version, assets }).replaceAll('"', '\\"'))
  writeFileSync(worker, filled)
}

export default defineConfig(({ mode }) => ({
  plugins: [
    svelte(),
    {
      name: 'pages',
      writeBundle: ({ dir = 'dist' }, files) => {
        if (mode === 'phone') fillWorker(dir, Object.keys(files))
        compress(dir)
        compress(join(dir, 'assets'))
      },
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
    emptyOutDir: mode !== 'phone',
    rolldownOptions: {
      input: PASSES[mode] ?? Object.values(PASSES).flat(),
      output: { entryFileNames: (chunk) => (chunk.name === 'worker' ? 'worker.js' : 'assets/[name]-[hash].js') },
    },
  },
  server: { proxy: { '/api': SERVER, '/socket.io': { target: SERVER, ws: true } } },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
}))
