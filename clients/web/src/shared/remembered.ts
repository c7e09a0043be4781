/**
 * What a tab knew of the meeting, over a reload: the page shows it at once, and asks the server only for what came since.
 * It ends with the tab, so no names stay on the device.
 */
import type { AnyRecord, Me } from './protocol'

export interface Remembered {
  logId: string
  rev: number
  me: Me
  records: AnyRecord[]
}

export interface Memory {
  recall(): Remembered | null
  remember(known: Remembered): void
}

export const NO_MEMORY: Memory = { recall: () => null, remember: () => undefined }

const KEPT = 'diemcau.remembered'
/** This script's own address, whose hash differs with every build: another build may mean something else by its records. */
const BUILD = import.meta.url

export function memoryOf(tab: Storage, token: string): Memory {
  return {
    recall: () => {
      try {
        const kept = JSON.parse(tab.getItem(KEPT) ?? 'null') as { build: string; token: string; known: Remembered } | null
        return kept && kept.build === BUILD && kept.token === token ? kept.known : null
      } catch {
        return null
      }
    },
    remember: (known) => {
      try {
        tab.setItem(KEPT, JSON.stringify({ build: BUILD, token, known }))
      } catch {
        tab.removeItem(KEPT)
      }
    },
  }
}

export function forgetRemembered(tab: Storage): void {
  tab.removeItem(KEPT)
}
