import { expect, test } from 'vitest'
import type { Item } from './protocol'
import { Replica } from './replica.svelte'

const item = (id: string, order = 0): Item => ({ kind: 'item', id, title: id, presenter: '', duration_s: null, order, began_at: null, ended_at: null })

test('puts whole records and drops keys', () => {
  const replica = new Replica()
  replica.apply({ rev: 3, put: [item('a'), item('b')], drop: [] })
  replica.apply({ rev: 4, put: [item('a', 7)], drop: ['item/b', 'hall/none'] })
  expect(replica.rev).toBe(4)
  expect(replica.get('item', 'a')?.order).toBe(7)
  expect(replica.get('item', 'b')).toBeUndefined()
  expect(replica.select('item')).toHaveLength(1)
})

test('ids may hold slashes and colons', () => {
  const replica = new Replica()
  replica.apply({ rev: 1, put: [item('x/y:z')], drop: [] })
  replica.apply({ rev: 2, put: [], drop: ['item/x/y:z'] })
  expect(replica.select('item')).toEqual([])
})

test('a selection is the same array until its kind changes', () => {
  const replica = new Replica()
  replica.apply({ rev: 1, put: [item('a')], drop: [] })
  const before = replica.select('item')
  replica.apply({ rev: 2, put: [], drop: [] })
  expect(replica.select('item')).toBe(before)
  replica.apply({ rev: 3, put: [item('a', 1)], drop: [] })
  expect(replica.select('item')).not.toBe(before)
})

test('a reset forgets what was there', () => {
  const replica = new Replica()
  replica.apply({ rev: 9, put: [item('a')], drop: [] })
  replica.reset({ rev: 2, put: [item('b')], drop: [] })
  expect(replica.select('item').map((one) => one.id)).toEqual(['b'])
  expect(replica.rev).toBe(2)
})
