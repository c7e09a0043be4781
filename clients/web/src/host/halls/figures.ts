/** What the media node counts, as people read it. */
import type { PeerStats } from '../../shared/protocol'

export interface Rates {
  readonly in_bps: number
  readonly out_bps: number
}

/** What flowed between two readings; undefined when the connection or the reading is not another one. */
export function rates(before: PeerStats, after: PeerStats, seconds: number): Rates | undefined {
  const [came, went] = [after.bytes_in - before.bytes_in, after.bytes_out - before.bytes_out]
  if (seconds < 0.2 || came < 0 || went < 0) return undefined
  return { in_bps: (came * 8) / seconds, out_bps: (went * 8) / seconds }
}

const UNKNOWN = '–'

export const kbps = (bps: number | null | undefined): string => (bps == null ? UNKNOWN : `${Math.round(bps / 1000)} kbit/s`)
export const ms = (seconds: number | null | undefined): string => (seconds == null ? UNKNOWN : `${Math.round(seconds * 1000)} ms`)
export const percent = (share: number | null | undefined): string => (share == null ? UNKNOWN : `${(share * 100).toFixed(1)} %`)
