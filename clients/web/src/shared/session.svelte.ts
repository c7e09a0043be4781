/** One page's part in one meeting: the line, the replica it feeds, and what the page sends. */
import { SvelteMap } from 'svelte/reactivity'
import { CommandQueue, type Answer, type Request } from './commands'
import type { Source } from './media/slots'
import type {
  Denied,
  Downlink,
  HallPresence,
  IceServer,
  Me,
  MediaAnswer,
  MediaOffer,
  Presence,
  Report,
  Stills,
  Wanted,
  Welcome,
} from './protocol'
import { Replica } from './replica.svelte'
import { Line } from './socket'
import { setServerTime } from './time.svelte'

export type LineState = 'connecting' | 'online' | 'lost' | 'closed'

export class Session {
  readonly replica = new Replica()
  readonly token: string
  /** Halls as they are now; staff only. */
  readonly presence = new SvelteMap<string, HallPresence>()
  /** Latest small pictures of halls as `data:` addresses; staff only. */
  readonly stills = new SvelteMap<string, string>()
  me = $state<Me>()
  state = $state<LineState>('connecting')
  /** Why the server closed for good. */
  closedBy = $state<string>()
  /** Commands without an answer yet. */
  waiting = $state(0)
  phones = $state(0)
  mediaEpoch = $state<string | null>(null)
  /** How much of the stage this page's line carries. */
  downlink = $state.raw<Downlink>({ rung: null, estimate_bps: null })
  /** Somebody looks at this hall's still. */
  stillWanted = $state(false)
  /** Called with the layers of a source that somebody looks at. */
  onwanted: (source: Source, rids: readonly string[]) => void = () => undefined
  /** Relays for the next media connection; new ones come before these pass. */
  iceServers: IceServer[] = []
  readonly #queue = new CommandQueue((waiting) => (this.waiting = waiting))
  readonly #line: Line
  #logId: string | null = null

  constructor(token: string) {
    this.token = token
    this.#line = new Line(token, () => this.#position(), {
      welcome: (welcome) => this.#welcome(welcome),
      patch: (patch) => this.replica.apply(patch),
      lost: () => this.#lost(),
      closed: (code) => this.#closed(code),
      media: ({ epoch }) => (this.mediaEpoch = epoch),
      iceServers: ({ servers }) => (this.iceServers = servers),
      presence: (presence) => this.#present(presence),
      stills: (news) => this.#keep(news),
      wanted: (wanted) => this.#want(wanted),
      downlink: (downlink) => (this.downlink = downlink),
    })
  }

  send(request: Request): Promise<Answer> {
    return this.#queue.submit(request)
  }

  offer(offer: MediaOffer): Promise<MediaAnswer | Denied> {
    return this.#line.offer(offer)
  }

  report(report: Report): void {
    if (this.state === 'online') this.#line.report(report)
  }

  tiles(halls: (string | null)[]): void {
    if (this.state === 'online') this.#line.tiles({ halls })
  }

  /** Ask for the stills of these halls and no others. */
  wall(halls: string[]): void {
    if (this.state === 'online') this.#line.wall({ halls })
  }

  end(): void {
    this.#line.close()
    this.state = 'closed'
  }

  #position(): { since?: number; log_id?: string } {
    return this.#logId ? { since: this.replica.rev, log_id: this.#logId } : {}
  }

  #welcome(welcome: Welcome): void {
    setServerTime(welcome.now)
    this.#logId = welcome.log_id
    if (welcome.reset) this.replica.reset(welcome)
    else this.replica.apply(welcome)
    this.me = welcome.me
    this.stillWanted = false
    this.downlink = { rung: null, estimate_bps: null }
    this.iceServers = welcome.ice_servers
    this.mediaEpoch = welcome.media_epoch
    this.state = 'online'
    this.#queue.connected((command) => this.#line.command(command))
  }

  #lost(): void {
    this.#queue.disconnected()
    if (this.state !== 'closed') this.state = this.me ? 'lost' : 'connecting'
  }

  #closed(code: string): void {
    this.state = 'closed'
    this.closedBy = code
    this.#queue.refuseAll(code)
  }

  #present(presence: Presence): void {
    if (presence.reset) this.presence.clear()
    for (const hall of presence.halls) this.presence.set(hall.hall, hall)
    this.phones = presence.phones
  }

  #keep({ stills }: Stills): void {
    for (const { hall, jpeg } of stills) this.stills.set(hall, `data:image/jpeg;base64,${jpeg}`)
  }

  #want({ source, rids }: Wanted): void {
    if (source === 'still') this.stillWanted = rids.length > 0
    else this.onwanted(source, rids)
  }
}
