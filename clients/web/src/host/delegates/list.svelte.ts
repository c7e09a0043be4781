/** The delegate list: one page of it at a time, as searched and filtered. */
import { untrack } from 'svelte'
import { codeOf, getJson } from '../../shared/http'
import type { DelegatePage } from '../../shared/protocol'

export type Shown = '' | 'present' | 'absent' | 'excused'

const TYPING_MS = 250

export class DelegateList {
  search = $state('')
  hall = $state('')
  state = $state<Shown>('')
  page = $state(1)
  found = $state.raw<DelegatePage>()
  failed = $state<string | null>(null)
  readonly #base: string
  #running: AbortController | undefined

  /** Loads by itself whenever what is asked for changes; call it while a component starts. */
  constructor(meeting: string) {
    this.#base = `/api/meetings/${meeting}/delegates`
    $effect(() => {
      const path = this.#path()
      const pause = untrack(() => this.found) ? TYPING_MS : 0
      const timer = setTimeout(() => void this.#load(path), pause)
      return () => clearTimeout(timer)
    })
    $effect(() => () => this.#running?.abort())
  }

  /** The same again: something may have changed. */
  refresh(): Promise<void> {
    return this.#load(this.#path())
  }

  /** A new search or filter begins at the first page. */
  ask(change: Partial<Pick<DelegateList, 'search' | 'hall' | 'state'>>): void {
    Object.assign(this, change)
    this.page = 1
  }

  #path(): string {
    const query = new URLSearchParams({ page: String(this.page) })
    if (this.search.trim()) query.set('search', this.search.trim())
    if (this.hall) query.set('hall', this.hall)
    if (this.state) query.set('state', this.state)
    return `${this.#base}?${query}`
  }

  async #load(path: string): Promise<void> {
    this.#running?.abort()
    const running = (this.#running = new AbortController())
    try {
      this.found = await getJson<DelegatePage>(path, { signal: running.signal })
      this.failed = null
    } catch (error) {
      if (!running.signal.aborted) this.failed = codeOf(error)
    }
  }
}
