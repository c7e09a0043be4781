import { expect, test } from 'vitest'
import { judge } from './quality'

const none = { received: 0, lost: 0, frames: 0, rtt_s: 0 }

test('pictures are those decoded since the last reading', () => {
  expect(judge({ ...none, frames: 5 }, { ...none, frames: 5 }).pictures).toBe(false)
  expect(judge({ ...none, frames: 5 }, { ...none, frames: 9 }).pictures).toBe(true)
})

test('a line is weak by loss or by delay', () => {
  expect(judge(none, { received: 95, lost: 5, frames: 1, rtt_s: 0.1 }).weak).toBe(false)
  expect(judge(none, { received: 85, lost: 15, frames: 1, rtt_s: 0.1 }).weak).toBe(true)
  expect(judge(none, { received: 100, lost: 0, frames: 1, rtt_s: 1.2 }).weak).toBe(true)
})

test('a counter that began anew is no loss', () => {
  expect(judge({ ...none, received: 500, lost: 90 }, { ...none, received: 600, lost: 0 }).weak).toBe(false)
})
