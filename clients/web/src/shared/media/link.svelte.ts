/**
 * Keeps the media connection as the moment wants it: there is one while the server has a media node, offered under that
 * node's epoch and this endpoint's name. When either changes, or the connection fails, it is made anew. When only the
 * node is another one, the new connection is made beside the old one, which goes on until the new one shows pictures.
 */
import { untrack } from 'svelte'
import { SvelteMap } from 'svelte/reactivity'
import { Backoff } from '../backoff'
import type { Session } from '../session.svelte'
import { Peer, type Plan, type Tracks } from './peer'
import type { Slot, Source } from './slots'

/** A connection that is not made after so long is given up. */
const GIVE_UP_MS = 8_000
/** A connection beside the old one takes over with its first picture; when there is none to see, after so long. */
const NO_PICTURE_MS = 2_500
const LOOK_MS = 40
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
  /** The connection on the way to another node, while `peer` goes on. */
  #coming: Peer | null = null
  #comingTimer: ReturnType<typeof setTimeout> | undefined
  /** What is asked of each source by the node of `peer`. */
  readonly #asked = new Map<Source, readonly string[]>()
  #offeredUnder: string | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #failures = 0

  constructor(session: Session, plan: Plan) {
    this.#session = session
    this.#plan = plan
    session.onwanted = (source, rids) => this.#want(source, rids)
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
    void this.#coming?.replace(source, track).catch(() => this.#turnedBack())
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
    if (wanted !== null && this.peer && this.state === 'connected' && sameName(wanted, this.#offeredUnder)) {
      void this.#move(this.peer, wanted)
      return
    }
    this.#drop()
    if (wanted !== null) void this.#connect(wanted)
  }

  /**
   * While there are two connections it is not known which node asks. What goes out by the old one is not made less, since
   * others may still take it from there.
   */
  #want(source: Source, rids: readonly string[]): void {
    this.#coming?.want(source, rids)
    const more = this.#coming ? [...new Set([...(this.#asked.get(source) ?? []), ...rids])] : rids
    this.#asked.set(source, more)
    this.peer?.want(source, more)
  }

  // -- to another node -------------------------------------------------------------------------------------------------

  async #move(old: Peer, under: string): Promise<void> {
    this.#forgetComing()
    const coming = new Peer(this.#plan, this.#tracks, this.#session.iceServers)
    this.#coming = coming
    this.#offeredUnder = under
    this.#comingTimer = setTimeout(() => this.#turnedBack(), GIVE_UP_MS)
    coming.pc.onconnectionstatechange = () => {
      if (this.#coming !== coming) return
      if (coming.pc.connectionState === 'connected') void this.#takeOver(old, coming)
      else if (coming.pc.connectionState === 'failed') this.#turnedBack()
    }
    const denied = await coming.connect((offer) => this.#session.offer(offer)).catch(() => 'bad_sdp')
    if (denied && this.#coming === coming) this.#turnedBack()
  }

  /** The new connection was not made: the old one goes on, and it is tried again. */
  #turnedBack(): void {
    this.#forgetComing()
    const name = this.#offeredUnder?.split(' ')[1] ?? ''
    this.#offeredUnder = `- ${name}`
    this.#comingTimer = setTimeout(() => this.#settle(this.#wanted()), this.#backoff.next())
  }

  async #takeOver(old: Peer, coming: Peer): Promise<void> {
    clearTimeout(this.#comingTimer)
    const end = performance.now() + NO_PICTURE_MS
    while (performance.now() < end && (await old.showing()) > (await coming.showing())) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
    if (this.#coming !== coming) return
    this.#coming = null
    this.peer = coming
    coming.pc.onconnectionstatechange = () => this.#changed(coming)
    for (const [slot, stream] of this.streams) replaceTrack(stream, coming.transceivers.get(slot)?.receiver.track)
    old.close()
    this.#changed(coming)
  }

  #forgetComing(): void {
    clearTimeout(this.#comingTimer)
    this.#coming?.close()
    this.#coming = null
  }

  // -- anew ------------------------------------------------------------------------------------------------------------

  async #connect(under: string): Promise<void> {
    const peer = new Peer(this.#plan, this.#tracks, this.#session.iceServers)
    this.peer = peer
    this.#asked.clear()
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
    if (this.#coming) return // it takes over, or gives up and asks again
    this.#drop()
    this.code = code
    this.state = 'lost'
    const pause = this.#failures++ ? this.#backoff.next() : 0
    this.#timer = setTimeout(() => this.#settle(this.#wanted()), pause)
  }

  #drop(): void {
    clearTimeout(this.#timer)
    this.#forgetComing()
    this.#offeredUnder = null
    this.streams.clear()
    this.peer?.close()
    this.peer = null
    this.state = 'none'
  }
}

/** Whether two `#wanted` are of the same endpoint: a console has another name with every line. */
function sameName(one: string, other: string | null): boolean {
  return one.split(' ')[1] === other?.split(' ')[1]
}

/** The element that plays the stream goes on with another track, without showing nothing in between. */
function replaceTrack(stream: MediaStream, track: MediaStreamTrack | undefined): void {
  const before = stream.getTracks()
  if (track) stream.addTrack(track)
  for (const old of before) stream.removeTrack(old)
}
