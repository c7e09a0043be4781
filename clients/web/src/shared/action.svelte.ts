/** Something a person set going: whether it is under way, and why it failed. */
import type { Answer } from './commands'
import { codeOf } from './http'

export class Action {
  busy = $state(false)
  /** The code of the last failure; null after a success or a new start. */
  code = $state<string | null>(null)

  /** Runs the work unless something is under way already; whether it succeeded. */
  async run(work: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false
    this.busy = true
    this.code = null
    try {
      const answer = await work()
      this.code = isDenied(answer) ? answer.code : null
    } catch (error) {
      this.code = codeOf(error)
    }
    this.busy = false
    return this.code === null
  }
}

function isDenied(answer: unknown): answer is Answer & { ok: false } {
  return typeof answer === 'object' && answer !== null && 'ok' in answer && answer.ok === false
}
