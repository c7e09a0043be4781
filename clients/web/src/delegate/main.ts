import { mount } from 'svelte'
import '../shared/theme.css'
import App from './App.svelte'

/** Long enough for the page to be there first, also on a thin line. */
const WORKER_AFTER_MS = 5_000

const target = document.getElementById('app')
if (target) {
  target.replaceChildren()
  mount(App, { target })
}

/** From then on the page opens without the server (worker.ts). A browser that has no workers, or may not, does without. */
function keepPage(): void {
  navigator.serviceWorker.register('/worker.js', { scope: '/d' }).catch(() => undefined)
}

if (import.meta.env.PROD && 'serviceWorker' in navigator) setTimeout(keepPage, WORKER_AFTER_MS)
