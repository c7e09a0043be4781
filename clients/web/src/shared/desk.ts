/** What pages on a computer have of a session: the socket, and nothing kept, because their owner sits before them. */
import { NO_MEMORY } from './remembered'
import type { SessionParts } from './session.svelte'
import { SocketLine } from './socket'
import { NOTHING_KEPT } from './unsent'

export const DESK: SessionParts = { open: (...given) => new SocketLine(...given), unsent: NOTHING_KEPT, memory: NO_MEMORY }
