/** The pages of one published paper, fetched with the reader's token and kept while it is open. */
import { getBlob, getText } from './http'

export const WIDTHS = [480, 800, 1200, 1600] as const
const KEPT = 12

/** The smallest width the server offers that fills so many device pixels. */
export function widthFor(pixels: number): number {
  return WIDTHS.find((width) => width >= pixels) ?? WIDTHS[WIDTHS.length - 1] ?? 1600
}

export class Paper {
  readonly #base: string
  readonly #token: string
  readonly #images = new Map<string, Promise<string>>()

  constructor(meeting: string, document: string, token: string) {
    this.#base = `/api/meetings/${meeting}/documents/${document}`
    this.#token = token
  }

  /** An address for an `<img>`; pages count from 1. */
  image(page: number, width: number): Promise<string> {
    const key = `${page}/${width}`
    const known = this.#images.get(key)
    if (known) return known
    const path = `${this.#base}/pages/${page}.webp?width=${width}`
    const image = getBlob(path, { token: this.#token }).then((blob) => URL.createObjectURL(blob))
    this.#images.set(key, image)
    image.catch(() => this.#images.delete(key))
    this.#forgetOldest()
    return image
  }

  text(page: number): Promise<string> {
    return getText(`${this.#base}/pages/${page}.txt`, { token: this.#token })
  }

  close(): void {
    for (const key of [...this.#images.keys()]) this.#forget(key)
  }

  #forgetOldest(): void {
    const oldest = this.#images.keys().next().value
    if (this.#images.size > KEPT && oldest !== undefined) this.#forget(oldest)
  }

  #forget(key: string): void {
    void this.#images.get(key)?.then((address) => URL.revokeObjectURL(address), () => undefined)
    this.#images.delete(key)
  }
}
