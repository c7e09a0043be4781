/** The line between a page and the server, whatever it runs over. */
import type { Answer } from './commands'
import type {
  AnyCommand,
  Denied,
  Downlink,
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

export const PROTOCOL = 1
/** How long an answer may take. */
export const ANSWER_MS = 15_000
/** Denials after which coming back with the same token makes sense. */
export const PASSING: ReadonlySet<string> = new Set(['unavailable', 'too_many', 'internal', 'offline'])

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

export interface Line {
  /** Rejects when the line is lost first. */
  command(command: AnyCommand): Promise<Answer>
  offer(offer: MediaOffer): Promise<MediaAnswer | Denied>
  report(report: Report): void
  tiles(tiles: Tiles): void
  wall(wall: Wall): void
  close(): void
}

/** Where the replica stands; nothing when there is none. */
export type Position = () => Pick<Hello, 'since' | 'log_id'>
export type OpenLine = (token: string, position: Position, events: LineEvents) => Line
