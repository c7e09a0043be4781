import { expect, test } from 'vitest'
import type { Hall, HallPresence, Link } from '../../shared/protocol'
import { arrangeHalls, inOrder, look, pageOf, plain, type HallLook } from './look'

const hall = (id: string, name = id, order = 0): Hall => ({ kind: 'hall', id, name, unit: '', order, convened: null, technician: '', phone: '', chair: false, epoch: 0 })
const seen = (id: string, change: Partial<HallPresence> = {}): HallPresence => ({ hall: id, online: true, media: 'connected', camera: 'ready', microphone: 'sending', viewing: true, trouble: 'none', level: -40, phones: 0, rung: 'high', estimate_bps: null, ...change })
const link = (id: string, up: boolean): Link => ({ kind: 'link', id, up, since: 1, first_at: 1, lost_s: 0, drops: 0 })
const around = (floor?: string, ...staged: string[]) => ({ floor, staged: new Set(staged), waiting: new Map([['w', 2]]) })
const state = (...args: Parameters<typeof look>): HallLook['state'] => look(...args).state

test('how a hall stands', () => {
  expect(state(hall('a'), undefined, undefined, undefined, around())).toBe('away')
  expect(state(hall('a'), undefined, link('a', false), undefined, around())).toBe('lost')
  expect(state(hall('a'), seen('a'), link('a', true), undefined, around())).toBe('good')
  expect(state(hall('a'), seen('a'), link('a', true), undefined, around('a', 'a'))).toBe('floor')
  expect(state(hall('a'), seen('a'), link('a', true), undefined, around(undefined, 'a'))).toBe('stage')
  expect(look(hall('a'), seen('a', { trouble: 'weak_line' }), link('a', true), undefined, around('b', 'a'))).toMatchObject({ state: 'trouble', trouble: 'weak_line' })
})

test('a line just lost counts as lost whatever was last known', () => {
  expect(look(hall('a'), seen('a', { online: false }), link('a', true), undefined, around('a'))).toMatchObject({ state: 'lost', level: -127 })
})

test('the list comes by search without accents, filter and order', () => {
  const looks = [
    look(hall('a', 'Xã Mường Tè', 2), seen('a'), link('a', true), undefined, around()),
    look(hall('b', 'Phường Đoàn Kết', 1), undefined, link('b', false), undefined, around()),
    look(hall('w', 'Xã Bum Tở', 3), undefined, undefined, undefined, around()),
  ]
  const names = (...args: Parameters<typeof arrangeHalls>): string[] => arrangeHalls(...args).map((one) => one.hall.id)
  expect(names(looks, { search: 'muong te', filter: 'all', order: 'list' })).toEqual(['a'])
  expect(names(looks, { search: '', filter: 'all', order: 'trouble' })).toEqual(['b', 'w', 'a'])
  expect(names(looks, { search: '', filter: 'waiting', order: 'list' })).toEqual(['w'])
  expect(names(looks, { search: 'doan', filter: 'offline', order: 'name' })).toEqual(['b'])
})

test('letters without accents', () => {
  expect(plain('Đặng Thị Ngưỡng')).toBe('dang thi nguong')
})

test('a camera that works and is not on air is no trouble; one that is asked for in vain is', () => {
  const at = (change: Partial<HallPresence>): HallLook => look(hall('a'), seen('a', change), link('a', true), undefined, around())
  for (const camera of ['off', 'ready', 'sending'] as const) expect(at({ camera })).toMatchObject({ state: 'good', trouble: null, camera })
  expect(at({ camera: 'lost' })).toMatchObject({ state: 'trouble', trouble: 'no_picture' })
  expect(at({ microphone: 'lost' })).toMatchObject({ state: 'trouble', trouble: 'no_sound' })
  expect(at({ camera: 'lost', trouble: 'no_camera' })).toMatchObject({ trouble: 'no_camera' })
})

test('a narrow line is told, sound alone is trouble', () => {
  const at = (id: string, rung: HallPresence['rung']): HallLook => look(hall(id), seen(id, { rung }), link(id, true), undefined, around())
  expect(at('a', 'low')).toMatchObject({ state: 'good', rung: 'low' })
  expect(at('a', 'audio')).toMatchObject({ state: 'trouble', trouble: 'sound_only' })
  const looks = [at('a', 'high'), at('b', 'low'), at('c', 'audio')]
  const ids = (filter: 'weak' | 'all'): string[] => arrangeHalls(looks, { search: '', filter, order: 'trouble' }).map((one) => one.hall.id)
  expect(ids('weak')).toEqual(['c', 'b'])
  expect(ids('all')).toEqual(['c', 'b', 'a'])
})

test('pages, and halls that stay where they were', () => {
  const looks = Array.from({ length: 187 }, (_, n) => look(hall(`h${n}`, '', n), undefined, undefined, undefined, around()))
  expect(pageOf(looks, 1, 25)).toMatchObject({ pages: 8, first: 1, last: 25 })
  expect(pageOf(looks, 99, 25)).toMatchObject({ page: 8, first: 176, last: 187 })
  expect(pageOf([], 3, 25)).toMatchObject({ page: 1, pages: 1, first: 0, last: 0 })
  expect(inOrder(looks.slice(0, 4), ['h2', 'h0', 'gone']).map((one) => one.hall.id)).toEqual(['h2', 'h0', 'h1', 'h3'])
})
