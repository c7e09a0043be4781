/** Growing, jittered pauses between attempts, from 0.5 s to 10 s: thousands of phones must not come back at once. */
const SHORTEST_MS = 500
const FIRST_SPREAD_MS = 1_000
const LONGEST_MS = 10_000
const RESTART_SPREAD_MS = 8_000

export class Backoff {
  #attempts = 0

  /** How long to wait before the next attempt. */
  next(random = Math.random()): number {
    const spread = Math.min(LONGEST_MS - SHORTEST_MS, FIRST_SPREAD_MS * 2 ** this.#attempts++)
    return SHORTEST_MS + spread * random
  }

  /** How long to wait when the server said that it restarts: all of its clients wait now. */
  restart(random = Math.random()): number {
    return SHORTEST_MS + RESTART_SPREAD_MS * random
  }

  reset(): void {
    this.#attempts = 0
  }
}
