/** Papers in the order of the agenda. */
import { agenda } from './floor'
import type { Document, Item } from './protocol'
import type { Replica } from './replica.svelte'

export interface PapersOfItem {
  readonly item: Item | undefined
  readonly documents: Document[]
}

/** Only items with papers; papers that belong to none come last. */
export function papersByItem(replica: Replica): PapersOfItem[] {
  const documents = replica
    .select('document')
    .slice()
    .sort((a, b) => a.order - b.order)
  const items: (Item | undefined)[] = [...agenda(replica), undefined]
  return items
    .map((item) => ({ item, documents: documents.filter((document) => document.item === (item?.id ?? null)) }))
    .filter((group) => group.documents.length)
}
