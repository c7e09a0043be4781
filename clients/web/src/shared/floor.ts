/** Who speaks, who waits, and how a turn's time stands. */
import type { Replica } from './replica.svelte'
import type { Item, Speaker } from './protocol'

/** The last minute is shown in another colour. */
const SHORT_S = 60

export const speaks = (turn: Speaker): boolean => turn.began_at !== null && turn.ended_at === null
export const waits = (turn: Speaker): boolean => turn.began_at === null && turn.ended_at === null

export function speaking(replica: Replica): Speaker | undefined {
  return replica.select('speaker').find(speaks)
}

/** Those who wait, in their order. */
export function queue(replica: Replica): Speaker[] {
  return replica
    .select('speaker')
    .filter(waits)
    .sort((a, b) => a.turn - b.turn)
}

export function agenda(replica: Replica): Item[] {
  return replica
    .select('item')
    .slice()
    .sort((a, b) => a.order - b.order)
}

export interface TurnTime {
  readonly stage: 'running' | 'left' | 'short' | 'over'
  readonly shown_s: number
}

/** With an allotted time: what is left (negative when over); otherwise how long the turn has lasted. */
export function turnTime(turn: Pick<Speaker, 'began_at' | 'ends_at'>, now_s: number): TurnTime {
  if (turn.ends_at === null) return { stage: 'running', shown_s: Math.max(0, now_s - (turn.began_at ?? now_s)) }
  const left_s = turn.ends_at - now_s
  return { stage: left_s < 0 ? 'over' : left_s < SHORT_S ? 'short' : 'left', shown_s: left_s }
}
