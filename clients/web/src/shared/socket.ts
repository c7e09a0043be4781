/** The line to the server: hello, welcome, patches, answers; and coming back when it is lost. The only user of Socket.IO. */
import { io, type Socket } from 'socket.io-client'
import { Backoff } from './backoff'
import type {
  AnyCommand,
  Denied,
  Downlink,
  Goodbye,
  Hello,
  IceServers,
  MediaAnswer,
  MediaOffer,
  MediaReset,
  Patch,
  Presence,
  Report,
  Stills,
  Tiles,
  Wall,
  Wanted,
  Welcome,
} from './protocol'
import type { Answer } from './commands'

const PROTOCOL = 1
const ANSWER_MS = 15_000
/** Denials after which coming back with the same token makes sense. */
const PASSING = new Set(['unavailable', 'too_many', 'internal'])

export interface LineEvents {
  welcome(welcome: Welcome): void
  patch(patch: Patch): void
  lost(): void
  /** The server will not have this token (any more). */
  closed(code: string): void
  media(reset: MediaReset): void
  iceServers(servers: IceServers): void
  presence(presence: Presence): void
  stills(stills: Stills): void
  wanted(wanted: Wanted): void
  downlink(downlink: Downlink): void
}

export class Line {
  readonly #socket: Socket
  readonly #events: LineEvents
  readonly #backoff = new Backoff()
  readonly #hello: () => Hello
  #timer: ReturnType<typeof setTimeout> | undefined
  #ended = false
  /** One of thousands that are told at once to come again. */
  #oneOfMany = false
  #restarting = false

  constructor(token: string, position: () => Pick<Hello, 'since' | 'log_id'>, events: LineEvents) {
    this.#events = events
    this.#hello = () => ({ protocol: PROTOCOL, token, ...position() })
    this.#socket = io({ transports: ['websocket'], reconnection: false, autoConnect: false, forceNew: true })
    this.#listen()
    addEventListener('online', this.#soon)
    document.addEventListener('visibilitychange', this.#soon)
    this.#socket.connect()
  }

  /** Rejects when the line is lost first. */
  command(command: AnyCommand): Promise<Answer> {
    return this.#ask<Answer>('command', command)
  }

  offer(offer: MediaOffer): Promise<MediaAnswer | Denied> {
    return this.#ask<MediaAnswer | Denied>('offer', offer)
  }

  report(report: Report): void {
    this.#socket.volatile.emit('report', report)
  }

  tiles(tiles: Tiles): void {
    this.#socket.emit('tiles', tiles)
  }

  wall(wall: Wall): void {
    this.#socket.emit('wall', wall)
  }

  close(): void {
    this.#ended = true
    clearTimeout(this.#timer)
    removeEventListener('online', this.#soon)
    document.removeEventListener('visibilitychange', this.#soon)
    this.#socket.disconnect()
  }

  #ask<T>(event: string, body: unknown): Promise<T> {
    if (!this.#socket.connected) return Promise.reject(new Error('not connected'))
    return this.#socket.timeout(ANSWER_MS).emitWithAck(event, body) as Promise<T>
  }

  #listen(): void {
    const { patch, media, iceServers, presence, stills, wanted, downlink } = this.#events
    this.#socket.on('connect', () => void this.#greet())
    this.#socket.on('connect_error', () => this.#retry())
    this.#socket.on('disconnect', () => {
      this.#events.lost()
      this.#retry()
    })
    this.#socket.on('patch', patch)
    this.#socket.on('media', media)
    this.#socket.on('ice_servers', iceServers)
    this.#socket.on('presence', presence)
    this.#socket.on('stills', stills)
    this.#socket.on('wanted', wanted)
    this.#socket.on('downlink', downlink)
    this.#socket.on('goodbye', ({ code, retry }: Goodbye) => {
      this.#restarting = code === 'restart' && this.#oneOfMany
      if (!retry) this.#refused(code)
    })
  }

  async #greet(): Promise<void> {
    const answer = await this.#ask<Welcome | Denied>('hello', this.#hello()).catch(() => null)
    if (!answer) {
      this.#socket.disconnect()
    } else if (answer.ok) {
      this.#backoff.reset()
      this.#oneOfMany = answer.me.kind === 'delegate'
      this.#events.welcome(answer)
    } else if (!PASSING.has(answer.code)) {
      this.#refused(answer.code)
    }
  }

  #refused(code: string): void {
    this.close()
    this.#events.closed(code)
  }

  #retry(): void {
    clearTimeout(this.#timer)
    const pause = this.#restarting ? this.#backoff.restart() : this.#backoff.next()
    this.#restarting = false
    if (!this.#ended) this.#timer = setTimeout(() => this.#socket.connect(), pause)
  }

  /** The device woke up or found a network: do not wait out the pause. */
  readonly #soon = (): void => {
    if (this.#ended || this.#socket.connected || document.hidden) return
    clearTimeout(this.#timer)
    this.#socket.connect()
  }
}
