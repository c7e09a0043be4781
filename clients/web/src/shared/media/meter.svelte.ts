/** How loud a microphone is here, before anything is sent. */
const EVERY_MS = 100
const QUIETEST_DB = -70
const HEARD_DB = -50
const HEARD_FOR_MS = 4_000

export class Meter {
  /** 0 silence … 1 loudest. */
  level = $state(0)
  /** Whether there was sound in the last seconds. */
  heard = $state(false)
  readonly #context = new AudioContext()
  readonly #timer: ReturnType<typeof setInterval>
  #heardAt = -Infinity

  constructor(track: MediaStreamTrack) {
    const analyser = this.#context.createAnalyser()
    analyser.fftSize = 1024
    this.#context.createMediaStreamSource(new MediaStream([track])).connect(analyser)
    const samples = new Float32Array(analyser.fftSize)
    this.#timer = setInterval(() => {
      if (this.#context.state === 'suspended') void this.#context.resume()
      analyser.getFloatTimeDomainData(samples)
      this.#measure(samples)
    }, EVERY_MS)
  }

  end(): void {
    clearInterval(this.#timer)
    void this.#context.close()
  }

  #measure(samples: Float32Array): void {
    const db = loudness(samples)
    if (db > HEARD_DB) this.#heardAt = performance.now()
    this.heard = performance.now() - this.#heardAt < HEARD_FOR_MS
    this.level = Math.max(0, 1 - db / QUIETEST_DB)
  }
}

/** Root mean square in decibels below full scale. */
export function loudness(samples: Float32Array): number {
  let sum = 0
  for (const sample of samples) sum += sample * sample
  return 10 * Math.log10(sum / samples.length + 1e-12)
}
