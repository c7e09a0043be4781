/** One page's part in one meeting: the line, the replica it feeds, and what the page sends. */
import { SvelteMap } from 'svelte/reactivity'
import { CommandQueue, type Answer, type Request } from './commands'
import type { Line, OpenLine } from './line'
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
import type { Memory } from './remembered'
import { Replica } from './replica.svelte'
import { setServerTime } from './time.svelte'
import type { Unsent } from './unsent'

export type LineState = 'connecting' | 'online' | 'lost' | 'closed'

/** What a page may choose of its session. */
export interface SessionParts {
  open: OpenLine
  unsent: Unsent
  memory: Memory
}

export class Session {
  readonly replica = new Replica()
  readonly token: string
  /** Halls as they are now; staff only. */
  readonly presence = new SvelteMap<string, HallPresence>()
  /** Latest small pictures of halls as `data:` addresses; staff only. */
  readonly stills = new SvelteMap<string, string>()
  me = $state<Me>()
  state = $state<LineState>('connecting')
  /** Connecting has failed since the last welcome. */
  unreachable = $state(false)
  /** Why something that was sent before this load of the page was not accepted. */
  refusedLate = $state<string | null>(null)
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
  readonly #queue: CommandQueue
  readonly #line: Line
  readonly #memory: Memory
  #logId: string | null = null

  constructor(token: string, { open, unsent, memory }: SessionParts) {
    this.token = token
    this.#memory = memory
    this.#queue = new CommandQueue(
      (waiting) => (this.waiting = waiting),
      unsent,
      (answer) => (this.refusedLate = answer.ok ? this.refusedLate : answer.code),
    )
    this.#recall()
    this.#line = open(token, () => this.#position(), {
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

  /** Note what this page knows, for its next load. */
  remember(): void {
    if (this.state === 'closed' || !this.#logId || !this.me) return
    this.#memory.remember({ logId: this.#logId, rev: this.replica.rev, me: this.me, records: this.replica.all() })
  }

  #recall(): void {
    const known = this.#memory.recall()
    if (!known) return
    this.replica.reset({ rev: known.rev, put: known.records, drop: [] })
    this.#logId = known.logId
    this.me = known.me
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
    this.unreachable = false
    this.#queue.connected((command) => this.#line.command(command))
  }

  #lost(): void {
    this.#queue.disconnected()
    this.unreachable = true
    if (this.state !== 'closed') this.state = this.me ? 'lost' : 'connecting'
  }

  #closed(code: string): void {
    this.state = 'closed'
    this.closedBy = code
    this.#queue.refuseAll(code, code === 'wrong_protocol')
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
