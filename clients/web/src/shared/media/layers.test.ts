import { expect, test, vi } from 'vitest'
import { LayerSwitch, switched } from './layers'

const camera = (...active: boolean[]) => ['q', 'h', 'f'].map((rid, n) => ({ rid, active: active[n] ?? true, maxBitrate: n }))
const states = (encodings: readonly { active?: boolean }[] | undefined) => encodings?.map((encoding) => encoding.active)

test('layers are on that are asked for', () => {
  expect(states(switched(camera(), ['q']))).toEqual([true, false, false])
  expect(states(switched(camera(true, false, false), ['q', 'f']))).toEqual([true, false, true])
  expect(states(switched(camera(), []))).toEqual([false, false, false])
  expect(switched(camera(), ['q'])?.[1]).toEqual({ rid: 'h', active: false, maxBitrate: 1 })
})

test('nothing changes that is as it should be', () => {
  expect(switched(camera(true, false, false), ['q'])).toBeUndefined()
  expect(switched([{}], [''])).toBeUndefined()
})

test('a sender with one layer, and names that it does not know', () => {
  expect(states(switched([{ active: true }], []))).toEqual([false])
  expect(states(switched([{ active: false }], ['']))).toEqual([true])
  expect(states(switched([{ active: false }], ['q']))).toEqual([true])
  expect(states(switched(camera(false, false, false), ['']))).toEqual([true, true, true])
})

class Sender {
  encodings: { rid: string; active: boolean }[] = []
  rejects = 0
  getParameters(): RTCRtpSendParameters {
    return { encodings: structuredClone(this.encodings) } as unknown as RTCRtpSendParameters
  }
  setParameters(parameters: RTCRtpSendParameters): Promise<void> {
    if (this.rejects-- > 0) return Promise.reject(new DOMException('busy', 'InvalidStateError'))
    this.encodings = parameters.encodings as Sender['encodings']
    return Promise.resolve()
  }
}

test('it is tried again until it works, with the latest wish', async () => {
  vi.useFakeTimers()
  const sender = new Sender()
  const layers = new LayerSwitch(sender)
  layers.want(['q'])
  await vi.advanceTimersByTimeAsync(1_000) // not negotiated yet
  Object.assign(sender, { encodings: camera(), rejects: 2 })
  layers.want(['f'])
  await vi.advanceTimersByTimeAsync(10_000)
  expect(states(sender.encodings)).toEqual([false, false, true])
  layers.want(['q'])
  layers.want(['q', 'h', 'f'])
  await vi.advanceTimersByTimeAsync(0)
  expect(states(sender.encodings)).toEqual([true, true, true])
  vi.useRealTimers()
})

test('a connection that has ended is left alone', async () => {
  vi.useFakeTimers()
  const sender = new Sender()
  const layers = new LayerSwitch(sender)
  layers.want(['q'])
  layers.end()
  Object.assign(sender, { encodings: camera() })
  await vi.advanceTimersByTimeAsync(10_000)
  expect(states(sender.encodings)).toEqual([true, true, true])
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})
