/** Names of the places in the one connection (PROTOCOL.md, Media), and who is in which. */
export type Source = 'camera' | 'microphone' | 'content'
export type Slot = `stage.${number}` | `audio.${number}` | `tile.${number}`

export const TILES = 25
export const STAGE_SLOTS: readonly Slot[] = ['stage.0', 'stage.1', 'audio.0', 'audio.1', 'audio.2']
export const AUDIO_SLOTS: readonly Slot[] = ['audio.0', 'audio.1', 'audio.2']
export const TILE_SLOTS: readonly Slot[] = Array.from({ length: TILES }, (_, n): Slot => `tile.${n}`)

export const isAudio = (slot: Slot): boolean => slot.startsWith('audio.')

/** The hall that a feed "<hall>/<source>" comes from. */
export function hallOf(feed: string | null | undefined): string | undefined {
  return feed?.split('/')[0]
}

/** Who gets which tile: whoever is wanted still keeps the tile, so that pictures do not jump; the rest fill the gaps. */
export function assignTiles(before: readonly (string | null)[], wanted: readonly string[], size = TILES): (string | null)[] {
  const want = new Set(wanted.slice(0, size))
  const tiles = Array.from({ length: size }, (_, n) => {
    const hall = before[n] ?? null
    return hall !== null && want.delete(hall) ? hall : null
  })
  for (const hall of want) tiles[tiles.indexOf(null)] = hall
  return tiles
}
