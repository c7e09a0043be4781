/** Polls: which one is before everybody, and its figures. */
import type { Poll, PollCount, Sums } from './protocol'
import type { Replica } from './replica.svelte'

export type Choice = keyof Sums
export const CHOICES: readonly Choice[] = ['yes', 'no', 'abstain']

/** The poll on the hall pages and phones now. */
export function shownPoll(replica: Replica): Poll | undefined {
  return replica.select('poll').find((poll) => poll.shown)
}

/** Votes cast in the open poll, as far as this page is told. */
export function votesUnderWay(replica: Replica): number {
  const open = replica.select('poll').find((poll) => poll.state === 'open')
  return replica.get('poll_count', open?.id)?.cast ?? 0
}

/** The votes to expect, of the whole poll or of one hall: those who come later are added as they vote. */
export function expected(poll: Poll, count: PollCount): number {
  return poll.present_only ? count.present + count.late : count.convened
}

export interface Share {
  readonly choice: Choice
  readonly votes: number
  /** Of the base, 0 to 1. */
  readonly share: number
}

export function shares(sums: Sums, base: number): Share[] {
  return CHOICES.map((choice) => ({ choice, votes: sums[choice], share: base ? Math.min(1, sums[choice] / base) : 0 }))
}

/** A share in tenths of a percent, cut and not rounded: 100% means all. */
export function tenths(share: number): number {
  return Math.min(1000, Math.max(0, Math.floor(share * 1000 + 1e-9))) / 1000
}
