import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { CommandQueue, commandId, type Answer, type Send } from './commands'
import type { AnyCommand } from './protocol'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A line that answers when told to. */
function line(): { send: Send; sent: AnyCommand[]; answer: (n: number, answer: Answer) => void; lose: (n: number) => void } {
  const sent: AnyCommand[] = []
  const pending: { resolve: (answer: Answer) => void; reject: (error: Error) => void }[] = []
  const send: Send = (command) => {
    sent.push(command)
    return new Promise((resolve, reject) => pending.push({ resolve, reject }))
  }
  return { send, sent, answer: (n, answer) => pending[n]?.resolve(answer), lose: (n) => pending[n]?.reject(new Error('lost')) }
}

test('ids are 21 characters that the server takes, and differ', () => {
  const ids = Array.from({ length: 200 }, commandId)
  for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_-]{21}$/)
  expect(new Set(ids).size).toBe(200)
})

test('a command waits for the line and is answered once', async () => {
  const queue = new CommandQueue()
  const result = queue.submit({ type: 'floor.take' })
  const up = line()
  queue.connected(up.send)
  expect(up.sent).toHaveLength(1)
  up.answer(0, { ok: true, rev: 5 })
  expect(await result).toEqual({ ok: true, rev: 5 })
  const again = line()
  queue.connected(again.send)
  expect(again.sent).toEqual([])
})

test('what was not answered is sent again with the same id, in order', async () => {
  const queue = new CommandQueue()
  const first = line()
  queue.connected(first.send)
  const results = [queue.submit({ type: 'attendance.check_in' }), queue.submit({ type: 'floor.request', topic: 'x' })]
  queue.disconnected()
  first.lose(0)
  first.lose(1)
  await vi.advanceTimersByTimeAsync(5_000)
  const second = line()
  queue.connected(second.send)
  expect(second.sent).toEqual(first.sent)
  second.answer(0, { ok: true, rev: 1 })
  second.answer(1, { ok: false, code: 'not_present', field: null })
  expect(await Promise.all(results)).toEqual([
    { ok: true, rev: 1 },
    { ok: false, code: 'not_present', field: null },
  ])
})

test('an answer of an earlier line still counts, and nothing is counted twice', async () => {
  const waiting: number[] = []
  const queue = new CommandQueue((n) => waiting.push(n))
  const first = line()
  queue.connected(first.send)
  const result = queue.submit({ type: 'floor.take' })
  const second = line()
  queue.connected(second.send)
  first.answer(0, { ok: true, rev: 8 })
  second.answer(0, { ok: true, rev: 8 })
  expect(await result).toEqual({ ok: true, rev: 8 })
  await vi.advanceTimersByTimeAsync(0)
  expect(waiting.at(-1)).toBe(0)
})

test('"unavailable" is tried again on the same line', async () => {
  const queue = new CommandQueue()
  const up = line()
  queue.connected(up.send)
  const result = queue.submit({ type: 'floor.take' })
  up.answer(0, { ok: false, code: 'unavailable', field: null })
  await vi.advanceTimersByTimeAsync(2_000)
  expect(up.sent).toHaveLength(2)
  expect(up.sent[1]).toEqual(up.sent[0])
  up.answer(1, { ok: true, rev: 2 })
  expect(await result).toEqual({ ok: true, rev: 2 })
})

test('when the server closes for good, whoever waits is told why', async () => {
  const queue = new CommandQueue()
  const result = queue.submit({ type: 'floor.take' })
  queue.refuseAll('replaced')
  expect(await result).toEqual({ ok: false, code: 'replaced', field: null })
})
