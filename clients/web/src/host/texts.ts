import { catalogue } from '../shared/language.svelte'
import { doubts as enDoubts, host as en } from '../shared/texts/en/host'
import { doubts as viDoubts, host as vi, type DoubtCode } from '../shared/texts/vi/host'

export const o = catalogue(vi, en)
const doubts = catalogue(viDoubts, enDoubts)

/** Why a row of an imported list needs a look. */
export function doubtOf(code: string): string {
  return doubts()[code as DoubtCode] ?? code
}
