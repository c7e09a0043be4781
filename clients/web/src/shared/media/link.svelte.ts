/**
 * Keeps the media connection as the moment wants it: there is one while the server has a media node, offered under that
 * node's epoch and this endpoint's name. When either changes, or the connection fails, it is made anew.
 */
import { untrack } from 'svelte'
import { SvelteMap } from 'svelte/reactivity'
import { Backoff } from '../backoff'
import type { Session } from '../session.svelte'
import { Peer, type Plan, type Tracks } from './peer'
import type { Slot, Source } from './slots'

/** A connection that is not made after so long is given up. */
const GIVE_UP_MS = 8_000
/** One that was lost: the browser noticed after some seconds already. */
const AWAY_MS = 3_000

export type MediaState = 'none' | 'connecting' | 'connected' | 'lost'

export class MediaLink {
  state = $state<MediaState>('none')
  /** Why the last attempt failed. */
  code = $state<string | null>(null)
  /** What flows out of each receiving slot. */
  readonly streams = new SvelteMap<Slot, MediaStream>()
  peer: Peer | null = null
  readonly #session: Session
  readonly #plan: Plan
  readonly #tracks: Tracks = { camera: null, microphone: null, content: null }
  readonly #backoff = new Backoff()
  readonly #stopWatching: () => void
  #offeredUnder: string | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #failures = 0

  constructor(session: Session, plan: Plan) {
    this.#session = session
    this.#plan = plan
    session.onwanted = (source, rids) => this.peer?.want(source, rids)
    this.#stopWatching = $effect.root(() => {
      $effect(() => {
        const wanted = this.#wanted()
        untrack(() => this.#settle(wanted))
      })
    })
  }

  /** What this source sends from now on; with null it sends nothing at all. */
  publish(source: Source, track: MediaStreamTrack | null): void {
    this.#tracks[source] = track
    void this.peer?.replace(source, track).catch(() => this.#failed('internal'))
  }

  end(): void {
    this.#stopWatching()
    this.#drop()
  }

  /** Under which epoch and name there should be a connection; undefined while nobody can be asked. */
  #wanted(): string | null | undefined {
    const { state, mediaEpoch, me } = this.#session
    if (state === 'closed') return null
    if (state !== 'online') return undefined
    return mediaEpoch !== null && me?.endpoint ? `${mediaEpoch} ${me.endpoint}` : null
  }

  #settle(wanted: string | null | undefined): void {
    if (wanted === undefined || wanted === this.#offeredUnder) return
    this.#drop()
    if (wanted !== null) void this.#connect(wanted)
  }

  async #connect(under: string): Promise<void> {
    const peer = new Peer(this.#plan, this.#tracks, this.#session.iceServers)
    this.peer = peer
    this.#offeredUnder = under
    this.state = 'connecting'
    peer.pc.onconnectionstatechange = () => this.#changed(peer)
    this.#giveUpLater()
    this.#show(peer)
    const denied = await peer.connect((offer) => this.#session.offer(offer)).catch(() => 'bad_sdp')
    if (denied && this.peer === peer) this.#failed(denied)
  }

  #show(peer: Peer): void {
    for (const slot of this.#plan.receives) {
      const track = peer.transceivers.get(slot)?.receiver.track
      if (track) this.streams.set(slot, new MediaStream([track]))
    }
  }

  #changed(peer: Peer): void {
    if (this.peer !== peer) return
    const state = peer.pc.connectionState
    if (state === 'connected') this.#up()
    else if (state === 'disconnected') this.#away()
    else if (state === 'failed' || state === 'closed') this.#failed('media_down')
  }

  #up(): void {
    clearTimeout(this.#timer)
    this.#backoff.reset()
    this.#failures = 0
    this.code = null
    this.state = 'connected'
  }

  #away(): void {
    this.state = 'lost'
    this.#giveUpLater(AWAY_MS)
  }

  #giveUpLater(patience = GIVE_UP_MS): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#failed('media_down'), patience)
  }

  /** Anew: at once the first time, then with growing pauses. */
  #failed(code: string): void {
    this.#drop()
    this.code = code
    this.state = 'lost'
    const pause = this.#failures++ ? this.#backoff.next() : 0
    this.#timer = setTimeout(() => this.#settle(this.#wanted()), pause)
  }

  #drop(): void {
    clearTimeout(this.#timer)
    this.#offeredUnder = null
    this.streams.clear()
    this.peer?.close()
    this.peer = null
    this.state = 'none'
  }
}
