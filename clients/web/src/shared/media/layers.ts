/** Switches a sender's layers on and off as the node asks, so that nothing is sent that nobody looks at. */
export type Encodings = Pick<RTCRtpEncodingParameters, 'rid' | 'active'>[]

const FIRST_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 4_000

/**
 * The same encodings, active where the layer is asked for; undefined when nothing has to change. A sender without
 * simulcast has one layer, on when any is asked for. When none of the names is known all are on: better too much.
 */
export function switched<E extends Encodings[number]>(encodings: readonly E[], rids: readonly string[]): E[] | undefined {
  const known = encodings.length > 1 && rids.some((rid) => encodings.some((encoding) => encoding.rid === rid))
  const on = (encoding: E): boolean => (known ? rids.includes(encoding.rid ?? '') : rids.length > 0)
  if (encodings.every((encoding) => (encoding.active ?? true) === on(encoding))) return undefined
  return encodings.map((encoding) => ({ ...encoding, active: on(encoding) }))
}

/** Brings one sender to the layers asked for last, one change after the other; what the browser rejects is tried again. */
export class LayerSwitch {
  readonly #sender: Pick<RTCRtpSender, 'getParameters' | 'setParameters'>
  #rids: readonly string[] | undefined
  #running = false

  constructor(sender: Pick<RTCRtpSender, 'getParameters' | 'setParameters'>) {
    this.#sender = sender
  }

  want(rids: readonly string[]): void {
    this.#rids = rids
    if (!this.#running) void this.#run()
  }

  end(): void {
    this.#rids = undefined
  }

  async #run(): Promise<void> {
    this.#running = true
    let pause = FIRST_PAUSE_MS
    while (this.#rids) {
      const rids = this.#rids
      if (await this.#set(rids)) {
        pause = FIRST_PAUSE_MS
        if (this.#rids === rids) this.#rids = undefined
      } else {
        await new Promise((resolve) => setTimeout(resolve, pause))
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS)
      }
    }
    this.#running = false
  }

  /** Whether it worked. It does not before the sender has its encodings, nor while another change goes on. */
  async #set(rids: readonly string[]): Promise<boolean> {
    try {
      const parameters = this.#sender.getParameters()
      if (!parameters.encodings.length) return false
      const encodings = switched(parameters.encodings, rids)
      if (encodings) await this.#sender.setParameters({ ...parameters, encodings })
      return true
    } catch {
      return false
    }
  }
}
