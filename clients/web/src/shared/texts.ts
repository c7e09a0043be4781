/** What every page says. Each page has its own part of the same catalogue, so that a phone loads only its own. */
import { catalogue } from './language.svelte'
import { reasons as enReasons, shared as en } from './texts/en/shared'
import { reasons as viReasons, shared as vi, type ReasonCode } from './texts/vi/shared'

export const t = catalogue(vi, en)
const reasons = catalogue(viReasons, enReasons)

/** The sentence for a code of the server's or of this page's. */
export function reasonOf(code: string): string {
  return reasons()[code as ReasonCode] ?? t().unknown_reason(code)
}
