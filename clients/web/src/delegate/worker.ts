/**
 * The phone's page without a line: its files are kept, so that it opens at once and also when the server cannot be
 * reached. Nothing else is kept here, no answer of the server's interface in particular.
 *
 * A version is the page and exactly the files it names. A page of the version before stays whole: its cache goes only when
 * the next version but one comes. The next load after an update is of the new version.
 */
interface Shell {
  version: string
  assets: string[]
}

interface WorkerEvent extends Event {
  waitUntil(work: Promise<unknown>): void
}

interface Fetching extends WorkerEvent {
  readonly request: Request
  respondWith(answer: Promise<Response>): void
}

interface Worker {
  skipWaiting(): Promise<void>
  readonly clients: { claim(): Promise<void> }
  addEventListener(name: 'install' | 'activate', hear: (event: WorkerEvent) => void): void
  addEventListener(name: 'fetch', hear: (event: Fetching) => void): void
}

const worker = self as unknown as Worker
/** Filled in by the build. */
const shell = JSON.parse('__SHELL__') as Shell
const PREFIX = 'diemcau-phone-'
const PAGE = '/d'
const own = PREFIX + shell.version
const VERSIONS_KEPT = 2

async function keep(): Promise<void> {
  const cache = await caches.open(own)
  await cache.addAll([new Request(PAGE, { cache: 'no-cache' }), ...shell.assets])
  await worker.skipWaiting()
}

/** Caches are listed in the order they were made. */
async function forgetOld(): Promise<void> {
  const versions = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== own)
  await Promise.all(versions.slice(0, -(VERSIONS_KEPT - 1)).map((name) => caches.delete(name)))
  await worker.clients.claim()
}

async function page(request: Request): Promise<Response> {
  return (await caches.match(PAGE, { cacheName: own })) ?? fetch(request)
}

async function asset(request: Request): Promise<Response> {
  return (await caches.match(request)) ?? fetch(request)
}

worker.addEventListener('install', (event) => event.waitUntil(keep()))
worker.addEventListener('activate', (event) => event.waitUntil(forgetOld()))
worker.addEventListener('fetch', (event) => {
  const { pathname, origin } = new URL(event.request.url)
  if (origin !== location.origin || event.request.method !== 'GET') return
  if (event.request.mode === 'navigate' && (pathname === PAGE || pathname.startsWith(`${PAGE}/`))) event.respondWith(page(event.request))
  else if (pathname.startsWith('/assets/')) event.respondWith(asset(event.request))
})
