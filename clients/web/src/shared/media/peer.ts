/** The one connection for pictures and sound: its m-lines are fixed by the plan, negotiated once, and never changed. */
import type { Denied, MediaAnswer, MediaOffer } from '../protocol'
import { LayerSwitch } from './layers'
import { isAudio, type Slot, type Source } from './slots'

export interface Plan {
  readonly publishes: boolean
  readonly receives: readonly Slot[]
}

export type Tracks = Record<Source, MediaStreamTrack | null>

const CAMERA_LAYERS: RTCRtpEncodingParameters[] = [
  { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 120_000, maxFramerate: 15 },
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_500_000 },
]

export class Peer {
  readonly pc: RTCPeerConnection
  readonly transceivers = new Map<Slot | Source, RTCRtpTransceiver>()
  readonly #layers = new Map<Source, LayerSwitch>()

  /** `iceServers`: relays for where UDP is blocked. */
  constructor(plan: Plan, tracks: Tracks, iceServers: RTCIceServer[]) {
    this.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceServers })
    if (plan.publishes) this.#publish(tracks)
    for (const slot of plan.receives) {
      this.transceivers.set(slot, this.pc.addTransceiver(isAudio(slot) ? 'audio' : 'video', { direction: 'recvonly' }))
    }
  }

  /** Offer, and take the answer. The code of the denial, if the server denies. */
  async connect(offer: (offer: MediaOffer) => Promise<MediaAnswer | Denied>): Promise<string | null> {
    await this.pc.setLocalDescription()
    const slots: Record<string, string> = {}
    for (const [place, { mid }] of this.transceivers) if (mid !== null) slots[mid] = place
    const answer = await offer({ sdp: this.pc.localDescription?.sdp ?? '', slots })
    if (!answer.ok) return answer.code
    await this.pc.setRemoteDescription({ type: 'answer', sdp: answer.sdp })
    return null
  }

  /** Another camera or microphone, or none, without a new offer. */
  async replace(source: Source, track: MediaStreamTrack | null): Promise<void> {
    await this.transceivers.get(source)?.sender.replaceTrack(track)
  }

  /**
   * Send these layers of a source and no others. All are on until this is called. A microphone goes on whatever is asked
   * for: its loudness tells the host who could be heard, and silence costs next to nothing.
   */
  want(source: Source, rids: readonly string[]): void {
    if (source !== 'microphone') this.#layers.get(source)?.want(rids)
  }

  /** How many of the slots for pictures have shown one. */
  async showing(): Promise<number> {
    let count = 0
    for (const report of (await this.pc.getStats()).values()) {
      if (report.type === 'inbound-rtp' && report.kind === 'video' && report.framesDecoded > 0) count++
    }
    return count
  }

  close(): void {
    for (const layers of this.#layers.values()) layers.end()
    this.pc.close()
  }

  #publish(tracks: Tracks): void {
    this.#send('camera', 'video', tracks.camera, CAMERA_LAYERS)
    this.#send('microphone', 'audio', tracks.microphone)
    this.#send('content', 'video', tracks.content)
  }

  #send(source: Source, kind: 'audio' | 'video', track: MediaStreamTrack | null, sendEncodings?: RTCRtpEncodingParameters[]): void {
    const init: RTCRtpTransceiverInit = { direction: 'sendonly', ...(sendEncodings ? { sendEncodings } : {}) }
    const transceiver = this.pc.addTransceiver(track ?? kind, init)
    this.transceivers.set(source, transceiver)
    this.#layers.set(source, new LayerSwitch(transceiver.sender))
  }
}
