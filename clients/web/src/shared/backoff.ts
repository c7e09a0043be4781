/** Growing, jittered pauses: 0.5 s doubling up to 10 s, each between half and the whole of it. */
const FIRST_MS = 500
const LONGEST_MS = 10_000

export class Backoff {
  #attempts = 0

  /** How long to wait before the next attempt. */
  next(random = Math.random()): number {
    const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#attempts++)
    return whole * (0.5 + random / 2)
  }

  reset(): void {
    this.#attempts = 0
  }
}
