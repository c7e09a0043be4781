/** How each hall stands, from its record, its line, its presence, the floor and the stage; finding and sorting them. */
import { queue, speaking } from '../../shared/floor'
import { hallOf } from '../../shared/media/slots'
import type { Hall, HallCount, HallPresence, Link } from '../../shared/protocol'
import type { Session } from '../../shared/session.svelte'

/** floor: speaks now; stage: on all screens; lost: was connected and is not; trouble: connected, something is wrong; away: never came. */
export type HallState = 'floor' | 'stage' | 'lost' | 'trouble' | 'good' | 'away'
export type Trouble = Exclude<HallPresence['trouble'], 'none'> | 'connecting'

export interface HallLook {
  readonly hall: Hall
  readonly state: HallState
  readonly trouble: Trouble | null
  readonly online: boolean
  readonly camera: boolean
  readonly microphone: boolean
  readonly level: number
  readonly phones: number
  readonly present: number
  readonly convened: number
  /** Its place among those who wait to speak; 0 when it does not. */
  readonly waiting: number
  readonly link: Link | undefined
}

interface Surroundings {
  readonly floor: string | undefined
  readonly staged: ReadonlySet<string | undefined>
  readonly waiting: ReadonlyMap<string, number>
}

/** All halls as they are now. Reads reactive state: call it within a `$derived`. */
export function lookAt(session: Session): HallLook[] {
  const { replica, presence } = session
  const waiting = new Map<string, number>()
  queue(replica).forEach((turn, n) => waiting.has(turn.hall) || waiting.set(turn.hall, n + 1))
  const staged = new Set(replica.get('stage', 'stage')?.video.map(hallOf))
  const around = { floor: speaking(replica)?.hall, staged, waiting }
  return replica
    .select('hall')
    .map((hall) => look(hall, presence.get(hall.id), replica.get('link', hall.id), replica.get('hall_count', hall.id), around))
}

export function look(hall: Hall, seen: HallPresence | undefined, link: Link | undefined, count: HallCount | undefined, around: Surroundings): HallLook {
  const online = seen?.online ?? link?.up ?? false
  const trouble = online && seen ? troubleOf(seen) : null
  return {
    hall,
    state: stateOf(hall.id, online, trouble, link, around),
    trouble,
    online,
    camera: seen?.camera ?? false,
    microphone: seen?.microphone ?? false,
    level: online ? (seen?.level ?? -127) : -127,
    phones: seen?.phones ?? 0,
    present: count?.present ?? 0,
    convened: hall.convened ?? count?.convened ?? 0,
    waiting: around.waiting.get(hall.id) ?? 0,
    link,
  }
}

function troubleOf(seen: HallPresence): Trouble | null {
  if (seen.trouble !== 'none') return seen.trouble
  if (seen.media === 'disconnected') return 'no_media'
  return seen.media === 'connected' ? null : 'connecting'
}

function stateOf(hall: string, online: boolean, trouble: Trouble | null, link: Link | undefined, around: Surroundings): HallState {
  if (!online) return link ? 'lost' : 'away'
  if (hall === around.floor) return 'floor'
  if (trouble) return 'trouble'
  return around.staged.has(hall) ? 'stage' : 'good'
}

export type Filter = 'all' | 'trouble' | 'online' | 'offline' | 'waiting'
export type Order = 'trouble' | 'name' | 'list' | 'online'

export interface Arrangement {
  readonly search: string
  readonly filter: Filter
  readonly order: Order
}

const RANK: Record<HallState, number> = { floor: 0, lost: 1, trouble: 2, stage: 3, away: 4, good: 5 }

const FILTERS: Record<Filter, (look: HallLook) => boolean> = {
  all: () => true,
  trouble: (look) => look.state === 'lost' || look.state === 'trouble',
  online: (look) => look.online,
  offline: (look) => !look.online,
  waiting: (look) => look.waiting > 0,
}

const byList = (a: HallLook, b: HallLook): number => a.hall.order - b.hall.order

const ORDERS: Record<Order, (a: HallLook, b: HallLook) => number> = {
  trouble: (a, b) => RANK[a.state] - RANK[b.state] || byList(a, b),
  name: (a, b) => a.hall.name.localeCompare(b.hall.name, 'vi'),
  list: byList,
  online: (a, b) => Number(b.online) - Number(a.online) || byList(a, b),
}

/** Without accents and capitals, so that "muong te" finds "Mường Tè". */
export function plain(text: string): string {
  return text
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .replace(/[đĐ]/g, 'd')
    .toLowerCase()
}

export function arrangeHalls(looks: readonly HallLook[], { search, filter, order }: Arrangement): HallLook[] {
  const wanted = plain(search.trim())
  const found = (look: HallLook): boolean => !wanted || plain(`${look.hall.name} ${look.hall.unit} ${look.hall.technician}`).includes(wanted)
  return looks.filter((look) => FILTERS[filter](look) && found(look)).sort(ORDERS[order])
}

/** How many halls need help. */
export function troubled(session: Session): number {
  return lookAt(session).filter(FILTERS.trouble).length
}
