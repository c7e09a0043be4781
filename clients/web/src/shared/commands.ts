/**
 * Commands on their way: each is kept until the server has answered it and is sent again, with the same id, whenever the
 * line comes back. Order is kept. An answer `unavailable` is no answer: the command is sent again a little later.
 */
import type { Accepted, AnyCommand, Denied } from './protocol'
import { NOTHING_KEPT, type Unsent } from './unsent'

export type Answer = Accepted | Denied
/** Sends one command; rejects when the line is lost before the answer. */
export type Send = (command: AnyCommand) => Promise<Answer>
type Without<T> = T extends { id: string } ? Omit<T, 'id'> : never
/** A command as a page writes it: the queue gives it its id. */
export type Request = Without<AnyCommand>

interface Pending {
  readonly command: AnyCommand
  readonly settle: (answer: Answer) => void
  underway: boolean
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-'
const AGAIN_MS = 1_500

export function commandId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(21)), (byte) => LETTERS[byte & 63]).join('')
}

export class CommandQueue {
  #pending: Pending[] = []
  #send: Send | null = null
  readonly #changed: (waiting: number) => void
  readonly #unsent: Unsent

  /**
   * `changed` is told how many commands are unanswered. What an earlier load of the page left in `unsent` goes first;
   * `late` is told its answers.
   */
  constructor(changed: (waiting: number) => void = () => undefined, unsent = NOTHING_KEPT, late: (answer: Answer) => void = () => undefined) {
    this.#changed = changed
    this.#unsent = unsent
    this.#pending = unsent.load().map((command) => ({ command, settle: late, underway: false }))
    if (this.#pending.length) changed(this.#pending.length)
  }

  submit(request: Request): Promise<Answer> {
    const command = { ...request, id: commandId() } as AnyCommand
    return new Promise((settle) => {
      const pending = { command, settle, underway: false }
      this.#pending.push(pending)
      this.#unsent.keep(command)
      this.#changed(this.#pending.length)
      this.#transmit(pending)
    })
  }

  /** The line is up: send what is unanswered, oldest first. */
  connected(send: Send): void {
    this.#send = send
    for (const pending of this.#pending) {
      pending.underway = false
      this.#transmit(pending)
    }
  }

  /** The line is down: hold everything back. */
  disconnected(): void {
    this.#send = null
  }

  /** The server will not take anything more: answer all that waits. With `keep` the next load of the page tries again. */
  refuseAll(code: string, keep = false): void {
    this.#send = null
    for (const { command, settle } of this.#pending.splice(0)) {
      if (!keep) this.#unsent.drop(command)
      settle({ ok: false, code, field: null })
    }
    this.#changed(0)
  }

  #transmit(pending: Pending): void {
    const send = this.#send
    if (!send || pending.underway) return
    pending.underway = true
    send(pending.command).then(
      (answer) => this.#answered(pending, answer, send),
      () => this.#lost(pending, send),
    )
  }

  #answered(pending: Pending, answer: Answer, send: Send): void {
    if (!answer.ok && answer.code === 'unavailable') {
      this.#retryLater(pending, send)
      return
    }
    this.#pending = this.#pending.filter((other) => other !== pending)
    this.#unsent.drop(pending.command)
    this.#changed(this.#pending.length)
    pending.settle(answer)
  }

  /** No answer in time on a line that is still thought to be up: the same id again does no harm. */
  #lost(pending: Pending, send: Send): void {
    if (send === this.#send) this.#retryLater(pending, send)
  }

  #retryLater(pending: Pending, send: Send): void {
    setTimeout(() => {
      if (send !== this.#send) return
      pending.underway = false
      this.#transmit(pending)
    }, AGAIN_MS)
  }
}
