import { expect, test } from 'vitest'
import type { PeerStats } from '../../shared/protocol'
import { kbps, ms, percent, rates } from './figures'

const reading = (bytes_in: number, bytes_out: number): PeerStats => ({ bytes_in, bytes_out }) as PeerStats

test('rates between two readings', () => {
  expect(rates(reading(0, 1000), reading(500, 3000), 2)).toEqual({ in_bps: 2000, out_bps: 8000 })
})

test('no rate over a new connection, nor from the same reading twice', () => {
  expect(rates(reading(900, 900), reading(10, 10), 2)).toBeUndefined()
  expect(rates(reading(1, 1), reading(1, 1), 0)).toBeUndefined()
})

test('figures that are not known are a dash', () => {
  expect([kbps(null), ms(undefined), percent(null)]).toEqual(['–', '–', '–'])
  expect([kbps(1_499_600), ms(0.0456), percent(0.031)]).toEqual(['1500 kbit/s', '46 ms', '3.1 %'])
})
