/** Which halls' live pictures this console is sent, as many as there are tile slots, and of which it shows stills. */
import { SvelteSet } from 'svelte/reactivity'
import type { MediaLink } from '../shared/media/link.svelte'
import { TILE_SLOTS, assignTiles } from '../shared/media/slots'
import type { Session } from '../shared/session.svelte'

const SETTLE_MS = 300

export class Tiles {
  /** Halls whose cells are in sight and which have a picture. */
  readonly visible = new SvelteSet<string>()
  /** Halls on the wall's page that have a picture, in sight or not. */
  shown = $state.raw<readonly string[]>([])
  live = $state(innerWidth >= 820)
  #assigned = $state.raw<(string | null)[]>([])
  readonly #link: MediaLink
  readonly #stop: () => void

  constructor(session: Session, link: MediaLink) {
    this.#link = link
    this.#stop = $effect.root(() => {
      $effect(() => {
        const wanted = this.live ? [...this.visible] : []
        const timer = setTimeout(() => (this.#assigned = assignTiles(this.#assigned, wanted)), SETTLE_MS)
        return () => clearTimeout(timer)
      })
      $effect(() => {
        if (session.state === 'online' && link.state === 'connected') session.tiles(this.#assigned)
      })
      const stills = $derived(this.#stills().join(' '))
      $effect(() => {
        if (session.state !== 'online') return
        const wanted = stills ? stills.split(' ') : []
        const timer = setTimeout(() => session.wall(wanted), SETTLE_MS)
        return () => clearTimeout(timer)
      })
    })
  }

  /** The hall's live picture, while it has a tile. */
  stream(hall: string): MediaStream | undefined {
    const slot = TILE_SLOTS[this.#assigned.indexOf(hall)]
    return slot && this.#link.state === 'connected' ? this.#link.streams.get(slot) : undefined
  }

  end(): void {
    this.#stop()
  }

  /** Every hall shown that has no live tile. */
  #stills(): readonly string[] {
    const live = new Set(this.#link.state === 'connected' ? this.#assigned : [])
    return this.shown.filter((hall) => !live.has(hall))
  }
}
