import { expect, test } from 'vitest'
import { TILE_SLOTS, assignTiles, hallOf } from './slots'

test('a hall that stays in sight keeps its tile', () => {
  const first = assignTiles([], ['a', 'b', 'c'], 4)
  expect(first).toEqual(['a', 'b', 'c', null])
  expect(assignTiles(first, ['c', 'd', 'a'], 4)).toEqual(['a', 'd', 'c', null])
})

test('no more halls than tiles, none twice', () => {
  const tiles = assignTiles(['x', 'y', 'z'], ['a', 'b', 'c', 'd', 'b'], 3)
  expect([...tiles].sort()).toEqual(['a', 'b', 'c'])
})

test('nobody wanted leaves all tiles empty', () => {
  expect(assignTiles(['a', 'b'], [], 2)).toEqual([null, null])
})

test('slots are named as in PROTOCOL.md', () => {
  expect(TILE_SLOTS[0]).toBe('tile.0')
  expect(TILE_SLOTS).toHaveLength(25)
  expect(hallOf('h12/camera')).toBe('h12')
  expect(hallOf(null)).toBeUndefined()
})
