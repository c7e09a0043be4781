import { expect, test } from 'vitest'
import type { DoubtfulRow } from '../../shared/protocol'
import { corrections, leftOut, rowsInDoubt } from './doubtful'

const doubt = (row: number, code: string, taken: boolean, name = 'Lò Văn A'): DoubtfulRow => ({ sheet: 'DS', row, code, taken, cells: [], name, hall: 'Xã Pa Ủ', other_row: null })
const rows = rowsInDoubt([doubt(5, 'phone_several', true), doubt(5, 'role_missing', true), doubt(9, 'hall_unknown', false), doubt(2, 'total_differs', false, '')])

test('a row is shown once with all its reasons, those left out first', () => {
  expect(rows.map((row) => [row.row, row.taken, row.reasons.length])).toEqual([
    [9, false, 1],
    [2, false, 1],
    [5, true, 2],
  ])
})

test('only decisions that differ from the proposal are sent', () => {
  expect(corrections(rows, {})).toEqual([])
  expect(corrections(rows, { 'DS/5': { kind: 'skip' }, 'DS/9': { kind: 'hall', hall: 'Xã Ka Lăng' } })).toEqual([
    { sheet: 'DS', row: 9, hall: 'Xã Ka Lăng' },
    { sheet: 'DS', row: 5, skip: true },
  ])
})

test('how many people stay out', () => {
  expect(leftOut(rows, {})).toBe(1)
  expect(leftOut(rows, { 'DS/9': { kind: 'hall', hall: 'x' }, 'DS/5': { kind: 'skip' } })).toBe(1)
  expect(leftOut(rows, { 'DS/9': { kind: 'hall', hall: 'x' } })).toBe(0)
})
