import { expect, test } from 'vitest'
import type { Poll, PollCount } from './protocol'
import { expected, shares, tenths } from './vote'

test('shares of the base, in the order of the ballot', () => {
  expect(shares({ yes: 6, no: 3, abstain: 0 }, 12)).toEqual([
    { choice: 'yes', votes: 6, share: 0.5 },
    { choice: 'no', votes: 3, share: 0.25 },
    { choice: 'abstain', votes: 0, share: 0 },
  ])
})

test('nobody convened is no division by zero, and a share is never above one', () => {
  expect(shares({ yes: 0, no: 0, abstain: 0 }, 0).map((one) => one.share)).toEqual([0, 0, 0])
  expect(shares({ yes: 5, no: 0, abstain: 0 }, 4)[0]?.share).toBe(1)
})

test('100% is all, not almost all', () => {
  expect([9999 / 10000, 1, 2 / 3, 0.29].map(tenths)).toEqual([0.999, 1, 0.666, 0.29])
})

test('votes are expected of those present and of those who came later, or of all on the list', () => {
  const count = { convened: 9, present: 5, late: 1 } as PollCount
  expect(expected({ present_only: true } as Poll, count)).toBe(6)
  expect(expected({ present_only: false } as Poll, count)).toBe(9)
})
