/** Growing, jittered pauses between attempts, from 0.5 s to 10 s: thousands of phones must not come back at once. */
const SHORTEST_MS = 500
const FIRST_SPREAD_MS = 1_000
const LONGEST_MS = 10_000

export class Backoff {
  #attempts = 0

  /** How long to wait before the next attempt. */
  next(random = Math.random()): number {
    const spread = Math.min(LONGEST_MS - SHORTEST_MS, FIRST_SPREAD_MS * 2 ** this.#attempts++)
    return SHORTEST_MS + spread * random
  }

  reset(): void {
    this.#attempts = 0
  }
}
