import { expect, test } from 'vitest'
import { turnTime } from './floor'

test('with an allotted time, what is left of it', () => {
  expect(turnTime({ began_at: 100, ends_at: 400 }, 200)).toEqual({ stage: 'left', shown_s: 200 })
  expect(turnTime({ began_at: 100, ends_at: 400 }, 350).stage).toBe('short')
  expect(turnTime({ began_at: 100, ends_at: 400 }, 430)).toEqual({ stage: 'over', shown_s: -30 })
})

test('without one, how long it has lasted', () => {
  expect(turnTime({ began_at: 100, ends_at: null }, 160)).toEqual({ stage: 'running', shown_s: 60 })
  expect(turnTime({ began_at: 100, ends_at: null }, 99).shown_s).toBe(0)
})
