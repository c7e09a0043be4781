/** The rows of an uploaded list that a clerk should look at, and what the clerk says of them. */
import type { DoubtfulRow, RosterPreview, RowCorrection } from '../../shared/protocol'

/** One row of the workbook with everything that is doubtful about it. */
export interface RowInDoubt {
  readonly key: string
  readonly sheet: string
  readonly row: number
  readonly name: string
  readonly hall: string | null
  readonly cells: readonly string[]
  readonly reasons: readonly Pick<DoubtfulRow, 'code' | 'other_row'>[]
  readonly taken: boolean
  /** Whether anything can be decided here; rows of the list of halls are corrected in the workbook. */
  readonly decidable: boolean
}

/** 'as_is': as the server proposes; otherwise leave it out, or put it into this hall. */
export type Decision = { readonly kind: 'as_is' } | { readonly kind: 'skip' } | { readonly kind: 'hall'; readonly hall: string }
export type Decisions = Readonly<Record<string, Decision>>

export function rowsInDoubt(doubtful: readonly DoubtfulRow[]): RowInDoubt[] {
  const rows = new Map<string, RowInDoubt>()
  for (const doubt of doubtful) {
    const key = `${doubt.sheet}/${doubt.row}`
    const known = rows.get(key)
    rows.set(key, {
      key,
      sheet: doubt.sheet,
      row: doubt.row,
      name: known?.name || doubt.name,
      hall: known?.hall ?? doubt.hall,
      cells: doubt.cells,
      reasons: [...(known?.reasons ?? []), { code: doubt.code, other_row: doubt.other_row }],
      taken: (known?.taken ?? true) && doubt.taken,
      decidable: (known?.decidable ?? false) || doubt.name !== '',
    })
  }
  return [...rows.values()].sort((a, b) => Number(a.taken) - Number(b.taken))
}

export function corrections(rows: readonly RowInDoubt[], decisions: Decisions): RowCorrection[] {
  return rows.flatMap(({ key, sheet, row }) => {
    const decision = decisions[key]
    if (!decision || decision.kind === 'as_is') return []
    return [decision.kind === 'skip' ? { sheet, row, skip: true } : { sheet, row, hall: decision.hall }]
  })
}

/** How many rows will not be imported as things are decided. */
export function leftOut(rows: readonly RowInDoubt[], decisions: Decisions): number {
  return rows.filter((row) => {
    const decision = decisions[row.key] ?? { kind: 'as_is' }
    return row.decidable && (decision.kind === 'skip' || (decision.kind === 'as_is' && !row.taken))
  }).length
}

/** All hall names that a row can be put into: those of the upload and those of the meeting. */
export function hallNames(preview: RosterPreview, known: readonly string[]): string[] {
  return [...new Set([...preview.halls.map((hall) => hall.name), ...known])].sort((a, b) => a.localeCompare(b, 'vi'))
}
