/** Attendance over all halls. */
import type { Replica } from '../../shared/replica.svelte'

export interface Totals {
  readonly convened: number
  readonly present: number
  readonly in_hall: number
  readonly online: number
  readonly excused: number
  /** Neither present now, nor ever, nor excused. */
  readonly missing: number
}

export function hallTotals(replica: Replica): Totals {
  const sum = { convened: 0, present: 0, online: 0, ever: 0, excused: 0 }
  for (const count of replica.select('hall_count')) {
    sum.convened += count.convened
    sum.present += count.present
    sum.online += count.online
    sum.ever += count.ever
    sum.excused += count.excused
  }
  const { convened, present, online, excused, ever } = sum
  return { convened, present, online, excused, in_hall: present - online, missing: Math.max(0, convened - ever - excused) }
}
