import { expect, test } from 'vitest'
import type { Speaker, Stage } from '../shared/protocol'
import { hallView, lineLook } from './view'

const stage = (large: string | null, small: string | null, ...heard: string[]): Stage => ({
  kind: 'stage',
  id: 'stage',
  video: [large && `${large}/camera`, small && `${small}/camera`],
  audio: heard.map((hall) => `${hall}/microphone`),
  shown: null,
  chair_heard: true,
})
const turn = (hall: string): Speaker => ({ kind: 'speaker', id: 's', hall, delegate: null, name: hall, item: null, topic: '', turn: 1, asked_at: 0, began_at: 1, ends_at: null, ended_at: null })

test('a hall that only watches sees the stage as it is', () => {
  expect(hallView(stage('h1', 'h2', 'h1'), turn('h1'), 'h9')).toEqual({ large: 'stage.0', small: 'stage.1', onStage: false, heard: false, hasFloor: false })
})

test('a hall on the stage looks at the others and sees itself small', () => {
  expect(hallView(stage('h1', 'h2', 'h1', 'h2'), turn('h1'), 'h1')).toEqual({ large: 'stage.1', small: 'own', onStage: true, heard: true, hasFloor: true })
})

test('alone on the stage it sees itself', () => {
  expect(hallView(stage('h1', null, 'h1'), undefined, 'h1')).toMatchObject({ large: 'own', small: 'none', hasFloor: false })
})

test('as the small picture it shows its own camera there', () => {
  expect(hallView(stage('h2', 'h1', 'h2', 'h1'), turn('h2'), 'h1')).toMatchObject({ large: 'stage.0', small: 'own', heard: true })
})

test('an empty stage', () => {
  expect(hallView(undefined, undefined, 'h1')).toMatchObject({ large: 'none', small: 'none' })
})

test('the line as the technician is told, the worst first', () => {
  const line = { online: true, media: true, rung: 'high', weak: false } as const
  expect(lineLook(line)).toBe('good')
  expect(lineLook({ ...line, rung: null })).toBe('good')
  expect(lineLook({ ...line, rung: 'low' })).toBe('low')
  expect(lineLook({ ...line, rung: 'low', weak: true })).toBe('weak')
  expect(lineLook({ ...line, rung: 'audio', weak: true })).toBe('sound_only')
  expect(lineLook({ ...line, media: false, rung: 'audio' })).toBe('no_media')
  expect(lineLook({ ...line, online: false })).toBe('lost')
})
