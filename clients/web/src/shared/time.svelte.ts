/** The server's time, and how times are written. */
import { language } from './language.svelte'

let offset_s = 0
let second = $state(Date.now() / 1000)

setInterval(() => (second = Date.now() / 1000), 500)

/** Learn the server's clock from its welcome. */
export function setServerTime(server_s: number): void {
  offset_s = server_s - Date.now() / 1000
  second = Date.now() / 1000
}

/** The server's time in seconds; whoever reads it is run again twice a second. */
export function now(): number {
  return second + offset_s
}

const locale = (): string => (language() === 'en' ? 'en-GB' : 'vi-VN')

/** "07:58" */
export function clock(at: number): string {
  return new Date(at * 1000).toLocaleTimeString(locale(), { hour: '2-digit', minute: '2-digit', hour12: false })
}

/** "07:58, 19/05/2025" */
export function moment(at: number): string {
  const date = new Date(at * 1000).toLocaleDateString(locale(), { day: '2-digit', month: '2-digit', year: 'numeric' })
  return `${clock(at)}, ${date}`
}

/** "4:05", with a minus when negative. */
export function span(seconds: number): string {
  const whole = Math.floor(Math.abs(seconds))
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const two = (n: number): string => String(n).padStart(2, '0')
  const written = hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
  return seconds < 0 && whole > 0 ? `−${written}` : written
}
