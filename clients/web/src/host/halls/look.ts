/** How a hall stands, from its record, its line, its presence, the floor and the stage; finding and sorting halls. */
import type { Hall, HallCount, HallPresence, Link } from '../../shared/protocol'

/** floor: speaks now; stage: on all screens; lost: was connected and is not; trouble: connected, something is wrong; away: never came. */
export type HallState = 'floor' | 'stage' | 'lost' | 'trouble' | 'good' | 'away'
export type Trouble = Exclude<HallPresence['trouble'], 'none'> | 'connecting' | 'no_picture' | 'no_sound' | 'sound_only'
export type SourceState = HallPresence['camera']
export type Rung = HallPresence['rung']

export interface HallLook {
  readonly hall: Hall
  readonly state: HallState
  readonly trouble: Trouble | null
  readonly online: boolean
  readonly camera: SourceState
  readonly microphone: SourceState
  /** Its media connection is up. */
  readonly connected: boolean
  /** How much of the stage its line carries; null while that is not known. */
  readonly rung: Rung
  readonly level: number
  readonly phones: number
  readonly present: number
  readonly convened: number
  /** Its place among those who wait to speak; 0 when it does not. */
  readonly waiting: number
  readonly link: Link | undefined
}

export interface Surroundings {
  readonly floor: string | undefined
  readonly staged: ReadonlySet<string | undefined>
  readonly waiting: ReadonlyMap<string, number>
}

export function look(hall: Hall, seen: HallPresence | undefined, link: Link | undefined, count: HallCount | undefined, around: Surroundings): HallLook {
  const online = seen?.online ?? link?.up ?? false
  const trouble = online && seen ? troubleOf(seen) : null
  return {
    hall,
    state: stateOf(hall.id, online, trouble, link, around),
    trouble,
    online,
    camera: (online && seen?.camera) || 'off',
    microphone: (online && seen?.microphone) || 'off',
    connected: online && seen?.media === 'connected',
    rung: online ? (seen?.rung ?? null) : null,
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
  if (seen.media !== 'connected') return 'connecting'
  if (seen.camera === 'lost') return 'no_picture'
  if (seen.microphone === 'lost') return 'no_sound'
  return seen.rung === 'audio' ? 'sound_only' : null
}

function stateOf(hall: string, online: boolean, trouble: Trouble | null, link: Link | undefined, around: Surroundings): HallState {
  if (!online) return link ? 'lost' : 'away'
  if (hall === around.floor) return 'floor'
  if (trouble) return 'trouble'
  return around.staged.has(hall) ? 'stage' : 'good'
}

export type Filter = 'all' | 'trouble' | 'weak' | 'online' | 'offline' | 'waiting'
export type Order = 'trouble' | 'name' | 'list' | 'online'

export interface Arrangement {
  readonly search: string
  readonly filter: Filter
  readonly order: Order
}

const RANK: Record<HallState, number> = { floor: 0, lost: 1, trouble: 2, stage: 3, away: 4, good: 5 }

/** Trouble first; then whoever gets along on a narrow line; then the rest. */
const rank = (look: HallLook): number => RANK[look.state] - (isWeak(look) ? 0.5 : 0)

/** Its line carries small pictures or none, or its page says that it is weak. */
export function isWeak({ rung, trouble }: HallLook): boolean {
  return rung === 'low' || rung === 'audio' || trouble === 'weak_line'
}

/** It works, looked at or not. */
export const hasPicture = (look: HallLook): boolean => look.connected && look.camera !== 'off'

const FILTERS: Record<Filter, (look: HallLook) => boolean> = {
  all: () => true,
  trouble: (look) => look.state === 'lost' || look.state === 'trouble',
  weak: isWeak,
  online: (look) => look.online,
  offline: (look) => !look.online,
  waiting: (look) => look.waiting > 0,
}

const byList = (a: HallLook, b: HallLook): number => a.hall.order - b.hall.order

const ORDERS: Record<Order, (a: HallLook, b: HallLook) => number> = {
  trouble: (a, b) => rank(a) - rank(b) || byList(a, b),
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

/** The halls in the order they had before, whatever they are sorted by; new ones behind. */
export function inOrder(looks: readonly HallLook[], before: readonly string[]): HallLook[] {
  const places = new Map(before.map((hall, n) => [hall, n]))
  const place = (look: HallLook): number => places.get(look.hall.id) ?? Infinity
  return [...looks].sort((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)))
}

export interface Page {
  readonly page: number
  readonly pages: number
  /** Numbers of the first and last row, from 1. */
  readonly first: number
  readonly last: number
  readonly rows: readonly HallLook[]
}

/** The page asked for, or the last one when there are fewer. */
export function pageOf(looks: readonly HallLook[], wanted: number, size: number): Page {
  const pages = Math.max(1, Math.ceil(looks.length / size))
  const page = Math.min(Math.max(1, wanted), pages)
  const rows = looks.slice((page - 1) * size, page * size)
  return { page, pages, first: rows.length ? (page - 1) * size + 1 : 0, last: (page - 1) * size + rows.length, rows }
}

/** How many halls need help. */
export function troubled(looks: readonly HallLook[]): number {
  return looks.filter(FILTERS.trouble).length
}
