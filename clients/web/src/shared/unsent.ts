/**
 * Commands that were not answered yet, kept on the device: a phone that is reloaded, or whose browser is put away, while
 * it has no line loses nothing that its owner has done. One entry for each command, so that two windows do not undo each
 * other's; sent twice they count once, because the id is the same.
 */
import type { AnyCommand } from './protocol'

export interface Unsent {
  /** Oldest first. */
  load(): AnyCommand[]
  keep(command: AnyCommand): void
  drop(command: AnyCommand): void
}

interface Kept {
  at: number
  command: AnyCommand
}

const PREFIX = 'diemcau.unsent.'
/** Yesterday's request to speak is nobody's wish today. */
const LONGEST_MS = 12 * 3600 * 1000
/** Enough of a token to tell two owners of one phone apart; it is no token any more. */
const TAIL = 12

/** Keeps nothing: for pages whose owner sits before them. */
export const NOTHING_KEPT: Unsent = { load: () => [], keep: () => undefined, drop: () => undefined }

export function unsentOn(device: Storage, token: string, now: () => number = Date.now): Unsent {
  const prefix = `${PREFIX}${token.slice(-TAIL)}.`
  let last = 0

  function load(): AnyCommand[] {
    const kept: Kept[] = []
    for (const key of Object.keys(device).filter((name) => name.startsWith(PREFIX))) {
      const one = read(device.getItem(key))
      if (!one || now() - one.at > LONGEST_MS) device.removeItem(key)
      else if (key.startsWith(prefix)) kept.push(one)
    }
    return kept.sort((one, other) => one.at - other.at).map(({ command }) => command)
  }

  function keep(command: AnyCommand): void {
    last = Math.max(now(), last + 1)
    try {
      device.setItem(prefix + command.id, JSON.stringify({ at: last, command } satisfies Kept))
    } catch {
      // The device's store is full or shut: the command is still sent as long as the page lives.
    }
  }

  return { load, keep, drop: ({ id }) => device.removeItem(prefix + id) }
}

function read(text: string | null): Kept | null {
  try {
    const kept = JSON.parse(text ?? '') as Kept
    return typeof kept.at === 'number' && typeof kept.command.id === 'string' ? kept : null
  } catch {
    return null
  }
}
