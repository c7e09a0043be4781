/** A client's copy of the meeting: records by `kind/id`, changed by patches only. */
import { SvelteMap } from 'svelte/reactivity'
import type { AnyRecord, Patch } from './protocol'

export type Kind = AnyRecord['kind']
export type RecordOf<K extends Kind> = Extract<AnyRecord, { kind: K }>

interface Changes {
  readonly rev: number
  readonly put: readonly AnyRecord[]
  readonly drop: readonly string[]
}

/**
 * Readers are told by kind: whoever has read any record of a kind is run again when a patch touches that kind. That is
 * one signal per kind instead of one per record, which phones can afford.
 */
export class Replica {
  rev = $state(0)
  readonly #kinds = new Map<Kind, Map<string, AnyRecord>>()
  readonly #versions = new SvelteMap<Kind, number>()
  readonly #lists = new Map<Kind, readonly AnyRecord[]>()

  get<K extends Kind>(kind: K, id: string | null | undefined): RecordOf<K> | undefined {
    this.#versions.get(kind)
    return id == null ? undefined : (this.#kinds.get(kind)?.get(id) as RecordOf<K> | undefined)
  }

  /** All records of the kind in the order they were first put; the same array until one changes. */
  select<K extends Kind>(kind: K): readonly RecordOf<K>[] {
    this.#versions.get(kind)
    let list = this.#lists.get(kind)
    if (!list) {
      list = [...(this.#kinds.get(kind)?.values() ?? [])]
      this.#lists.set(kind, list)
    }
    return list as readonly RecordOf<K>[]
  }

  /** Everything, as it could be put again. */
  all(): AnyRecord[] {
    return [...this.#kinds.values()].flatMap((records) => [...records.values()])
  }

  /** Put, then drop. */
  apply(patch: Pick<Patch, 'rev' | 'put' | 'drop'> | Changes): void {
    const touched = new Set<Kind>()
    for (const record of patch.put) {
      this.#of(record.kind).set(record.id, record)
      touched.add(record.kind)
    }
    for (const key of patch.drop) {
      const [kind, id] = split(key)
      if (this.#kinds.get(kind)?.delete(id)) touched.add(kind)
    }
    this.rev = patch.rev
    this.#tell(touched)
  }

  /** Forget everything, then apply. */
  reset(patch: Changes): void {
    const known = [...this.#kinds.keys()]
    this.#kinds.clear()
    this.#tell(known)
    this.apply(patch)
  }

  #of(kind: Kind): Map<string, AnyRecord> {
    let records = this.#kinds.get(kind)
    if (!records) this.#kinds.set(kind, (records = new Map()))
    return records
  }

  #tell(kinds: Iterable<Kind>): void {
    for (const kind of kinds) {
      this.#lists.delete(kind)
      this.#versions.set(kind, (this.#versions.get(kind) ?? 0) + 1)
    }
  }
}

function split(key: string): [Kind, string] {
  const slash = key.indexOf('/')
  return [key.slice(0, slash) as Kind, key.slice(slash + 1)]
}
