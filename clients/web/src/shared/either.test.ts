import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { AGAIN_MS, EitherLine, FIRST_ANSWER_MS, GRACE_MS, PATIENCE, type Makers } from './either'
import type { LineEvents } from './line'
import type { Welcome } from './protocol'
import type { Pace } from './socket'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const WELCOME = { ok: true, rev: 1 } as Welcome

/** A network of which a test says what it lets through; what the line did on it. */
class Network {
  http = true
  script = true
  silent = false
  opened = 0
  polled = false
  greets = 0
  runs = 0
  heard: string[] = []
  commands: string[] = []
  socket!: LineEvents
  pace!: Pace
  retries = 0
  closed = false
  #endRun: ((restarts: boolean) => void) | undefined

  open(): EitherLine {
    const heard = this.heard
    const events = {
      welcome: () => heard.push('welcome'),
      lost: () => heard.push('lost'),
      closed: (code: string) => heard.push(code),
      patch: () => heard.push('patch'),
    } as unknown as LineEvents
    const make: Makers = {
      socket: (_token, _position, socket, pace) => {
        this.socket = socket
        this.pace = pace
        this.opened += 1
        if (!this.script) return Promise.reject(new TypeError('no such script'))
        return Promise.resolve({ command: () => this.#command('socket'), close: () => (this.closed = true), retry: () => (this.retries += 1) })
      },
      poll: (_token, _position, poll) => ({
        command: () => this.#command('http'),
        greet: async () => {
          this.greets += 1
          await (this.silent ? new Promise(() => undefined) : Promise.resolve())
          if (this.http) poll.welcome(WELCOME)
          return this.http
        },
        run: () => {
          this.runs += 1
          return new Promise((resolve) => (this.#endRun = resolve))
        },
        stop: () => this.#endRun?.(false),
      }),
      memory: { get: () => this.polled, set: (polled) => (this.polled = polled) },
    }
    return new EitherLine('token', () => ({}), events, make)
  }

  loseHttp(): void {
    this.http = false
    this.#endRun?.(false)
  }

  #command(over: string): Promise<{ ok: true; rev: number }> {
    this.commands.push(over)
    return Promise.resolve({ ok: true, rev: 1 })
  }
}

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0)

test('the first welcome comes by HTTP, then the socket takes over and nothing is polled', async () => {
  const network = new Network()
  const line = network.open()
  await settle()
  network.socket.welcome(WELCOME)
  await line.command({ type: 'floor.take', id: 'y' })
  await vi.advanceTimersByTimeAsync(GRACE_MS * 2)
  expect(network.heard).toEqual(['welcome', 'welcome'])
  expect(network.commands).toEqual(['socket'])
  expect([network.runs, network.polled]).toEqual([0, false])
})

test('what is done before the socket is there is polled for at once', async () => {
  const network = new Network()
  const line = network.open()
  await settle()
  await line.command({ type: 'floor.take', id: 'x' })
  expect([network.runs, network.commands]).toEqual([1, ['http']])
  network.socket.welcome(WELCOME)
  await settle()
  await vi.advanceTimersByTimeAsync(GRACE_MS)
  expect([network.runs, network.heard]).toEqual([1, ['welcome', 'welcome']])
})

test('a socket that is refused is not waited for', async () => {
  const network = new Network()
  network.open()
  await settle()
  network.pace.failed(500)
  expect(network.runs).toBe(1)
})

test('where the socket does not come, patches are polled after the grace', async () => {
  const network = new Network()
  network.open()
  await vi.advanceTimersByTimeAsync(GRACE_MS - 1)
  expect(network.runs).toBe(0)
  await vi.advanceTimersByTimeAsync(1)
  expect([network.runs, network.polled]).toEqual([1, true])
})

test('a tab that polled before its reload does so at once', async () => {
  const network = new Network()
  network.polled = true
  network.open()
  await settle()
  expect(network.runs).toBe(1)
})

test('while HTTP works the socket is tried again ever more rarely, and when it comes it takes over', async () => {
  const network = new Network()
  const line = network.open()
  await vi.advanceTimersByTimeAsync(GRACE_MS)
  const pauses = Array.from({ length: 8 }, () => network.pace.failed(500))
  expect(pauses[0]).toBeGreaterThanOrEqual(AGAIN_MS.first * 0.75)
  expect(pauses.at(-1)).toBeGreaterThanOrEqual(AGAIN_MS.longest * 0.75)
  expect(Math.max(...pauses)).toBeLessThanOrEqual(AGAIN_MS.longest * 1.25)
  network.socket.welcome(WELCOME)
  await settle()
  await line.command({ type: 'floor.take', id: 'x' })
  expect(network.commands).toEqual(['socket'])
  expect([network.heard.includes('lost'), network.polled]).toEqual([false, false])
})

test('without any network it says so, tries both, and comes up by whichever is first', async () => {
  const network = new Network()
  network.http = false
  network.open()
  await settle()
  for (let n = 0; n < PATIENCE.new; n++) expect(network.pace.failed(500)).toBe(500)
  await settle()
  expect(network.heard.filter((what) => what !== 'lost')).toEqual([])
  expect([network.greets, network.heard.at(-1)]).toEqual([2, 'lost'])
  network.http = true
  network.pace.failed(500)
  await settle()
  expect(network.heard.at(-1)).toBe('welcome')
  await settle()
  expect(network.runs).toBe(1)
})

test('where the socket has worked, a restart of the server is waited out on it', async () => {
  const network = new Network()
  network.open()
  await settle()
  network.socket.welcome(WELCOME)
  network.socket.lost()
  for (let n = 1; n < PATIENCE.proven; n++) network.pace.failed(500)
  await settle()
  expect(network.greets).toBe(1)
  network.pace.failed(500)
  await settle()
  expect(network.greets).toBe(2)
})

test('when polls fail, both ways are tried again after a pause', async () => {
  const network = new Network()
  network.open()
  await vi.advanceTimersByTimeAsync(GRACE_MS)
  network.loseHttp()
  await settle()
  expect(network.heard.at(-1)).toBe('lost')
  network.http = true
  await vi.advanceTimersByTimeAsync(1_500)
  expect([network.greets, network.retries, network.heard.at(-1)]).toEqual([2, 1, 'welcome'])
})

test('a token that is not valid any more ends both ways, and is told once', async () => {
  const network = new Network()
  const line = network.open()
  await settle()
  network.socket.closed('bad_token')
  network.socket.closed('bad_token')
  await vi.advanceTimersByTimeAsync(GRACE_MS * 10)
  expect(network.heard).toEqual(['welcome', 'bad_token'])
  expect([network.closed, network.runs]).toEqual([true, 0])
  await expect(line.command({ type: 'floor.take', id: 'x' })).rejects.toThrow()
})

test("where the socket's script does not come, the page polls, and asks for it again", async () => {
  const network = new Network()
  network.script = false
  network.open()
  await settle()
  expect(network.runs).toBe(1)
  network.script = true
  await vi.advanceTimersByTimeAsync(AGAIN_MS.first * 1.25)
  network.socket.welcome(WELCOME)
  await settle()
  expect(network.polled).toBe(false)
})

test('an HTTP answer that does not come keeps the socket waiting only so long', async () => {
  const network = new Network()
  network.http = false
  network.silent = true
  network.open()
  await vi.advanceTimersByTimeAsync(FIRST_ANSWER_MS - 1)
  expect(network.opened).toBe(0)
  await vi.advanceTimersByTimeAsync(1)
  expect(network.opened).toBe(1)
  network.socket.welcome(WELCOME)
  expect(network.heard).toEqual(['welcome'])
})
