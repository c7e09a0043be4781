/**
 * The line over plain HTTP, for networks that let no websocket through (some in-app browsers and proxies): hello and
 * commands by POST, patches by long poll. For delegates only: whoever has media needs the socket. What it is told it
 * does once; when to come back is for its owner to say.
 */
import type { Answer } from './commands'
import { Failure, getJson, post } from './http'
import { ANSWER_MS, PASSING, PROTOCOL, type LineEvents, type Position } from './line'
import type { Accepted, AnyCommand, NextPatch, Welcome } from './protocol'

const WAIT_S = 25
/** For proxies that cut a request which waits longer. */
const SHORT_WAIT_S = 8

/** Codes of an answer that did not come from a server with this interface. */
const NO_SUCH_SERVER: ReadonlySet<string> = new Set(['not_found'])

/** Aborts after the time, or with the other. (`AbortSignal.timeout` is too new for the phones that come.) */
function within(ms: number, other?: AbortSignal): AbortSignal {
  const ending = new AbortController()
  const timer = setTimeout(() => ending.abort(), ms)
  other?.addEventListener('abort', () => {
    clearTimeout(timer)
    ending.abort()
  })
  return ending.signal
}

export class PollLine {
  readonly #token: string
  readonly #position: Position
  readonly #events: Pick<LineEvents, 'welcome' | 'patch' | 'closed'>
  #waitS = WAIT_S
  #polling: AbortController | null = null

  constructor(token: string, position: Position, events: Pick<LineEvents, 'welcome' | 'patch' | 'closed'>) {
    this.#token = token
    this.#position = position
    this.#events = events
  }

  /** Say hello once; whether the server said welcome. */
  async greet(): Promise<boolean> {
    try {
      const hello = { protocol: PROTOCOL, token: this.#token, ...this.#position() }
      const welcome = await post<Welcome>('/api/line/hello', hello, { signal: within(ANSWER_MS) })
      this.#events.welcome(welcome)
      return true
    } catch (error) {
      this.#failed(error)
      return false
    }
  }

  /** Take patches until the line is lost, the server closes for good, or `stop`; whether the server said that it restarts. */
  async run(): Promise<boolean> {
    const polling = new AbortController()
    this.#polling?.abort()
    this.#polling = polling
    while (!polling.signal.aborted) {
      const began = performance.now()
      const told = await this.#next(polling.signal).catch((error: unknown) => this.#failed(error))
      if (polling.signal.aborted) return false
      if (told?.patch) this.#events.patch(told.patch)
      else if (told?.goodbye && !told.goodbye.retry) this.#events.closed(told.goodbye.code)
      if (told?.patch) continue
      const cut = !told && this.#waitS > SHORT_WAIT_S && performance.now() - began > SHORT_WAIT_S * 1000
      if (!cut) return told?.goodbye?.code === 'restart'
      this.#waitS = SHORT_WAIT_S
    }
    return false
  }

  stop(): void {
    this.#polling?.abort()
    this.#polling = null
  }

  /** Rejects when there is no answer. */
  async command(command: AnyCommand): Promise<Answer> {
    try {
      return await post<Accepted>('/api/line/command', command, { token: this.#token, signal: within(ANSWER_MS) })
    } catch (error) {
      if (error instanceof Failure && error.code !== 'offline') return { ok: false, code: error.code, field: error.field }
      throw error
    }
  }

  async #next(stopped: AbortSignal): Promise<NextPatch> {
    const { log_id = '', since = 0 } = this.#position()
    const place = `log_id=${encodeURIComponent(log_id ?? '')}&since=${since}&wait=${this.#waitS}`
    return getJson<NextPatch>(`/api/line/patches?${place}`, { token: this.#token, signal: within(this.#waitS * 1000 + ANSWER_MS, stopped) })
  }

  #failed(error: unknown): null {
    if (error instanceof Failure && !PASSING.has(error.code) && !NO_SUCH_SERVER.has(error.code)) this.#events.closed(error.code)
    return null
  }
}
