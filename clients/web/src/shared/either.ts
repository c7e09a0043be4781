/**
 * A phone's line: over the websocket where the network lets it through, otherwise over HTTP.
 *
 * The first welcome comes by HTTP, which is a round trip on a connection that is open already, while the socket is still
 * being opened. The socket then takes over. Where it cannot, patches are polled, and the socket is tried again now and then.
 */
import { Backoff } from './backoff'
import type { Answer } from './commands'
import type { Line, LineEvents, Position } from './line'
import { PollLine } from './poll'
import type { AnyCommand, Denied, MediaAnswer } from './protocol'
import type { Pace, SocketLine } from './socket'

/** A socket that greets within this needs no polls. */
export const GRACE_MS = 6_000
/** The socket waits for the first answer by HTTP, so as not to share a thin line with it, but no longer than this. */
export const FIRST_ANSWER_MS = 3_000
/** How many attempts of the socket fail before HTTP is tried: at first, and where the socket has worked already. */
export const PATIENCE = { new: 2, proven: 4 }
/** Between attempts of the socket while HTTP works: it doubles from the one to the other. */
export const AGAIN_MS = { first: 30_000, longest: 300_000 }
const KEPT = 'diemcau.line'

type Socket = Pick<SocketLine, 'command' | 'close' | 'retry'>
type Poll = Pick<PollLine, 'command' | 'greet' | 'run' | 'stop'>

export interface Makers {
  /** Opens the socket, whose script is loaded only then. */
  socket(token: string, position: Position, events: LineEvents, pace: Pace): Promise<Socket>
  poll(token: string, position: Position, events: Pick<LineEvents, 'welcome' | 'patch' | 'closed'>): Poll
  /** Whether this tab polled last; kept over a reload. */
  memory: { get(): boolean; set(polled: boolean): void }
}

const REAL: Makers = {
  socket: async (...given) => new (await import('./socket')).SocketLine(...given),
  poll: (...given) => new PollLine(...given),
  memory: {
    get: () => sessionStorage.getItem(KEPT) === 'http',
    set: (polled) => (polled ? sessionStorage.setItem(KEPT, 'http') : sessionStorage.removeItem(KEPT)),
  },
}

export class EitherLine implements Line {
  readonly #events: LineEvents
  readonly #memory: Makers['memory']
  readonly #backoff = new Backoff()
  readonly #poll: Poll
  readonly #openSocket: () => Promise<Socket>
  #socket: Socket | null = null
  #opening = false
  #over: 'nothing' | 'socket' | 'http' = 'nothing'
  #patience = PATIENCE.new
  #failures = 0
  #pauses = 0
  #greeting = false
  #running = false
  #ended = false
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(token: string, position: Position, events: LineEvents, make: Makers = REAL) {
    this.#events = events
    this.#memory = make.memory
    const closed = (code: string): void => this.#closed(code)
    this.#poll = make.poll(token, position, { ...events, closed, welcome: (welcome) => this.#greetedByHttp(() => events.welcome(welcome)) })
    const welcome: LineEvents['welcome'] = (told) => this.#greetedBySocket(() => events.welcome(told))
    const heard = { ...events, closed, welcome, lost: () => this.#socketLost() }
    this.#openSocket = () => make.socket(token, position, heard, { failed: (ownPause) => this.#socketFailed(ownPause) })
    const first = setTimeout(() => void this.#open(), FIRST_ANSWER_MS)
    void this.#greet().then(() => {
      clearTimeout(first)
      void this.#open()
    })
  }

  command(command: AnyCommand): Promise<Answer> {
    if (this.#over === 'socket' && this.#socket) return this.#socket.command(command)
    if (this.#over !== 'http') return Promise.reject(new Error('not connected'))
    this.#pollNow()
    return this.#poll.command(command)
  }

  close(): void {
    this.#ended = true
    this.#over = 'nothing'
    clearTimeout(this.#timer)
    this.#poll.stop()
    this.#socket?.close()
  }

  /** Delegates have no media, and nothing to report or to watch. */
  offer(): Promise<MediaAnswer | Denied> {
    return Promise.resolve({ ok: false, code: 'not_allowed', field: null })
  }

  report(): void {}

  tiles(): void {}

  wall(): void {}

  /** Once for the page's life, unless its script could not be loaded. */
  async #open(): Promise<void> {
    if (this.#opening || this.#ended) return
    this.#opening = true
    try {
      const socket = await this.#openSocket()
      if (this.#ended) socket.close()
      else this.#socket = socket
    } catch {
      this.#opening = false
      setTimeout(() => void this.#open(), this.#socketFailed(this.#backoff.next()))
    }
  }

  #greetedBySocket(tell: () => void): void {
    this.#over = 'socket'
    this.#patience = PATIENCE.proven
    this.#failures = this.#pauses = 0
    this.#backoff.reset()
    clearTimeout(this.#timer)
    this.#poll.stop()
    this.#memory.set(false)
    tell()
  }

  #greetedByHttp(tell: () => void): void {
    if (this.#ended || this.#over === 'socket') return
    this.#over = 'http'
    this.#backoff.reset()
    tell()
    if (this.#failures > 0 || this.#memory.get()) this.#pollNow()
    else this.#timer = setTimeout(() => this.#pollNow(), GRACE_MS)
  }

  /** Somebody acts before the socket is there, or it does not come: they must see what follows. */
  #pollNow(): void {
    clearTimeout(this.#timer)
    if (!this.#running) void this.#run()
  }

  #socketLost(): void {
    if (this.#over === 'socket') this.#lost()
  }

  /** Without a line; the banner may say so. */
  #lost(): void {
    this.#over = 'nothing'
    if (!this.#ended) this.#events.lost()
  }

  #socketFailed(ownPause: number): number {
    this.#failures += 1
    if (this.#over === 'http') {
      this.#pollNow()
      const pause = Math.min(AGAIN_MS.longest, AGAIN_MS.first * 2 ** this.#pauses++)
      return pause * (0.75 + Math.random() / 2)
    }
    if (!this.#greeting) this.#lost()
    if (this.#failures >= this.#patience) void this.#greet()
    return ownPause
  }

  /** One attempt by HTTP; while one is under way there is no other. */
  async #greet(): Promise<void> {
    if (this.#greeting || this.#ended || this.#over !== 'nothing') return
    this.#greeting = true
    const greeted = await this.#poll.greet()
    this.#greeting = false
    if (greeted) return
    const tell = (): void => void (this.#over === 'nothing' && this.#lost())
    if (this.#failures > 0) tell()
    else setTimeout(tell, FIRST_ANSWER_MS)
  }

  async #run(): Promise<void> {
    if (this.#ended || this.#over !== 'http') return
    this.#running = true
    this.#memory.set(true)
    const restarts = await this.#poll.run()
    this.#running = false
    if (this.#ended || this.#over !== 'http') return
    this.#lost()
    this.#timer = setTimeout(() => {
      if (this.#socket) this.#socket.retry()
      else void this.#open()
      void this.#greet()
    }, restarts ? this.#backoff.restart() : this.#backoff.next())
  }

  #closed(code: string): void {
    if (this.#ended) return
    this.close()
    this.#events.closed(code)
  }
}
