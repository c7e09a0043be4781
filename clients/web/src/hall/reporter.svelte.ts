/** Tells the server what this page knows of itself: when it changes, every ten seconds, and a still. */
import { count, judge, type Counters, type Quality } from '../shared/media/quality'
import type { MediaLink } from '../shared/media/link.svelte'
import { still } from '../shared/media/still'
import type { Report } from '../shared/protocol'
import type { Session } from '../shared/session.svelte'
import type { Equipment } from './equipment.svelte'

const EVERY_MS = 1_000
const AT_LEAST_MS = 10_000
/** How often a still goes out while somebody looks at it, and otherwise, so that a wall that opens is not empty. */
const STILL_MS = 4_000
const STILL_UNSEEN_MS = 30_000
const JUDGE_MS = 3_000
const PATIENCE_MS = 10_000

export class Reporter {
  quality = $state<Quality>({ pictures: false, weak: false })
  readonly #timers: ReturnType<typeof setInterval>[]
  readonly #session: Session
  readonly #link: MediaLink
  readonly #equipment: Equipment
  readonly #preview: () => HTMLVideoElement | undefined
  readonly #began = performance.now()
  #last = ''
  #lastAt = -Infinity
  #stillAt = -Infinity
  #counters: Counters | undefined

  constructor(session: Session, link: MediaLink, equipment: Equipment, preview: () => HTMLVideoElement | undefined) {
    this.#session = session
    this.#link = link
    this.#equipment = equipment
    this.#preview = preview
    this.#timers = [setInterval(() => this.#report(), EVERY_MS), setInterval(() => void this.#judge(), JUDGE_MS)]
  }

  end(): void {
    for (const timer of this.#timers) clearInterval(timer)
  }

  #report(): void {
    if (this.#session.state !== 'online') {
      this.#last = ''
      return
    }
    const { camera, cameraOff, microphone, microphoneOff } = this.#equipment
    const state: Report = {
      camera: camera !== null && !cameraOff,
      microphone: microphone !== null && !microphoneOff,
      viewing: !document.hidden && this.#link.state === 'connected',
      trouble: this.#trouble(),
    }
    const now = performance.now()
    const picture = state.camera && now - this.#stillAt >= (this.#session.stillWanted ? STILL_MS : STILL_UNSEEN_MS) ? this.#still() : undefined
    const written = JSON.stringify(state)
    if (!picture && written === this.#last && now - this.#lastAt < AT_LEAST_MS) return
    this.#session.report(picture ? { ...state, still: picture } : state)
    this.#last = written
    this.#lastAt = now
    if (picture) this.#stillAt = now
  }

  #trouble(): NonNullable<Report['trouble']> {
    const { cameraProblem, microphoneProblem } = this.#equipment
    if (microphoneProblem) return 'no_microphone'
    if (cameraProblem) return 'no_camera'
    if (this.#link.state !== 'connected') return performance.now() - this.#began > PATIENCE_MS ? 'no_media' : 'none'
    return this.quality.weak ? 'weak_line' : 'none'
  }

  #still(): string | undefined {
    const video = this.#preview()
    return video && still(video)
  }

  async #judge(): Promise<void> {
    const pc = this.#link.state === 'connected' ? this.#link.peer?.pc : undefined
    const after = pc && (await count(pc).catch(() => undefined))
    if (after && this.#counters) this.quality = judge(this.#counters, after)
    else if (!after) this.quality = { pictures: false, weak: false }
    this.#counters = after
  }
}
