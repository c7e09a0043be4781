/** What every part of one meeting's console works with. */
import { getContext, setContext } from 'svelte'
import type { MediaLink } from '../shared/media/link.svelte'
import type { Replica } from '../shared/replica.svelte'
import type { Session } from '../shared/session.svelte'
import type { Lookout } from './halls/lookout.svelte'
import type { Role } from './roles'
import type { Tiles } from './tiles.svelte'

export interface Desk {
  readonly meeting: string
  readonly role: Role
  readonly session: Session
  readonly replica: Replica
  readonly link: MediaLink
  readonly tiles: Tiles
  readonly lookout: Lookout
}

const KEY = Symbol('desk')

export function provideDesk(desk: Desk): Desk {
  return setContext(KEY, desk)
}

export function useDesk(): Desk {
  return getContext<Desk>(KEY)
}
