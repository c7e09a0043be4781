import { expect, test } from 'vitest'
import { CommandQueue, type Answer } from './commands'
import type { AnyCommand } from './protocol'
import { unsentOn } from './unsent'

const TOKEN = 'signed-token-of-one-delegate'

/** A device's store as far as it is used: its entries are its own properties, as a browser's are. */
function device(): Storage {
  const methods = {
    getItem: (key: string) => store[key] ?? null,
    setItem: (key: string, value: string) => void (store[key] = value),
    removeItem: (key: string) => void Reflect.deleteProperty(store, key),
  }
  const store = Object.create(methods) as Record<string, string>
  return store as unknown as Storage
}

test('what was not answered is sent by the next load of the page, oldest first, with the same ids, and then forgotten', async () => {
  const store = device()
  const before = new CommandQueue(undefined, unsentOn(store, TOKEN))
  void before.submit({ type: 'attendance.check_in' })
  void before.submit({ type: 'question.ask', text: 'Khi nào?' })
  const kept = unsentOn(store, TOKEN).load()
  expect(kept.map(({ type }) => type)).toEqual(['attendance.check_in', 'question.ask'])

  const waiting: number[] = []
  const late: Answer[] = []
  const after = new CommandQueue((n) => waiting.push(n), unsentOn(store, TOKEN), (answer) => late.push(answer))
  const sent: AnyCommand[] = []
  after.connected((command) => {
    sent.push(command)
    return Promise.resolve({ ok: true, rev: 1 })
  })
  await new Promise((resolve) => setTimeout(resolve))
  expect(sent).toEqual(kept)
  expect(waiting).toEqual([2, 1, 0])
  expect(late).toHaveLength(2)
  expect(unsentOn(store, TOKEN).load()).toEqual([])
})

test('another owner of the phone does not send them, and what is too old goes', () => {
  const store = device()
  void new CommandQueue(undefined, unsentOn(store, TOKEN)).submit({ type: 'attendance.check_in' })
  expect(unsentOn(store, 'signed-token-of-another-one').load()).toEqual([])
  expect(unsentOn(store, TOKEN).load()).toHaveLength(1)
  expect(unsentOn(store, TOKEN, () => Date.now() + 13 * 3600 * 1000).load()).toEqual([])
  expect(Object.keys(store)).toEqual([])
})

test('they go with a token that is void, and stay where the page is only too old', () => {
  const store = device()
  const queue = new CommandQueue(undefined, unsentOn(store, TOKEN))
  void queue.submit({ type: 'attendance.check_in' })
  queue.refuseAll('wrong_protocol', true)
  expect(unsentOn(store, TOKEN).load()).toHaveLength(1)
  const next = new CommandQueue(undefined, unsentOn(store, TOKEN))
  next.refuseAll('bad_token')
  expect(unsentOn(store, TOKEN).load()).toEqual([])
})

test('damaged entries are passed over', () => {
  const store = device()
  store.setItem('diemcau.unsent.te-delegate.x', '{"at":')
  expect(unsentOn(store, TOKEN).load()).toEqual([])
})
