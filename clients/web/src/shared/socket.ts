/** The line over a websocket: hello, welcome, patches, answers; and coming back when it is lost. The only user of Socket.IO. */
import { io, type Socket } from 'socket.io-client'
import { Backoff } from './backoff'
import type { Answer } from './commands'
import { ANSWER_MS, PASSING, PROTOCOL, type Line, type LineEvents, type Position } from './line'
import type { AnyCommand, Denied, Goodbye, Hello, MediaAnswer, MediaOffer, Report, Tiles, Wall, Welcome } from './protocol'

/** A proxy that takes a websocket and then says nothing must not hold us longer. */
const OPENING_MS = 10_000

/** When to come back, if not by the backoff of its own. */
export interface Pace {
  /** An attempt has failed, or the connection is gone; the pause until the next, in ms. */
  failed(ownPause: number): number
}

const OWN_PACE: Pace = { failed: (ownPause) => ownPause }

export class SocketLine implements Line {
  readonly #socket: Socket
  readonly #events: LineEvents
  readonly #backoff = new Backoff()
  readonly #pace: Pace
  readonly #hello: () => Hello
  #timer: ReturnType<typeof setTimeout> | undefined
  #ended = false
  /** One of thousands that are told at once to come again. */
  #oneOfMany = false
  #restarting = false

  constructor(token: string, position: Position, events: LineEvents, pace = OWN_PACE) {
    this.#events = events
    this.#pace = pace
    this.#hello = () => ({ protocol: PROTOCOL, token, ...position() })
    const once = { reconnection: false, autoConnect: false, forceNew: true, timeout: OPENING_MS }
    this.#socket = io({ transports: ['websocket'], ...once })
    this.#listen()
    addEventListener('online', this.#soon)
    document.addEventListener('visibilitychange', this.#soon)
    this.#socket.connect()
  }

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

  /** Do not wait out the pause. */
  retry(): void {
    if (this.#ended || this.#socket.connected) return
    clearTimeout(this.#timer)
    this.#socket.connect()
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
    if (!this.#ended) this.#timer = setTimeout(() => this.#socket.connect(), this.#pace.failed(pause))
  }

  /** The device woke up or found a network. */
  readonly #soon = (): void => {
    if (!document.hidden) this.retry()
  }
}
