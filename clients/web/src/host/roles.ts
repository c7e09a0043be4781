/** What each role may do, as in the table of `rooms/rules.py`; the server decides, the console only hides what is refused. */
import type { Account } from '../shared/protocol'

export type Role = Account['role']

export const isHost = (role: Role): boolean => role === 'host'
/** Host and secretary: floor, agenda, lists, papers, questions. */
export const isDesk = (role: Role): boolean => role !== 'technician'
