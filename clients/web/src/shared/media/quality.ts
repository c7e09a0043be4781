/** What the line is worth, from two readings of the connection's counters. */
export interface Counters {
  readonly received: number
  readonly lost: number
  readonly frames: number
  readonly rtt_s: number
}

export interface Quality {
  /** Pictures of the stage come in. */
  readonly pictures: boolean
  readonly weak: boolean
}

const WEAK_LOSS = 0.08
const WEAK_RTT_S = 0.8

export function judge(before: Counters, after: Counters): Quality {
  const received = after.received - before.received
  const lost = Math.max(0, after.lost - before.lost)
  const loss = received + lost > 0 ? lost / (received + lost) : 0
  return { pictures: after.frames > before.frames, weak: loss > WEAK_LOSS || after.rtt_s > WEAK_RTT_S }
}

export async function count(pc: RTCPeerConnection): Promise<Counters> {
  const counters = { received: 0, lost: 0, frames: 0, rtt_s: 0 }
  const report = (await pc.getStats()) as unknown as ReadonlyMap<string, Stats>
  for (const stats of report.values()) {
    if (stats.type === 'inbound-rtp') {
      counters.received += stats.packetsReceived ?? 0
      counters.lost += stats.packetsLost ?? 0
      counters.frames += stats.framesDecoded ?? 0
    } else if (stats.type === 'candidate-pair' && stats.nominated) {
      counters.rtt_s = stats.currentRoundTripTime ?? 0
    }
  }
  return counters
}

type Stats = Partial<Omit<RTCInboundRtpStreamStats, 'type'> & Omit<RTCIceCandidatePairStats, 'type'>> & { readonly type: string }
