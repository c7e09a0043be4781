/** The time that a speaker is given, in minutes, as the host last chose it; 0 is no limit. */
const KEPT = 'diemcau.turn_minutes'
export const LENGTHS = [0, 3, 5, 7, 10, 15, 20, 30] as const

const kept = Number(localStorage.getItem(KEPT) ?? 5)
let minutes = $state(LENGTHS.some((one) => one === kept) ? kept : 5)

export function turnMinutes(): number {
  return minutes
}

export function setTurnMinutes(chosen: number): void {
  minutes = chosen
  localStorage.setItem(KEPT, String(chosen))
}

export function turnDuration(): { duration_s?: number } {
  return minutes ? { duration_s: minutes * 60 } : {}
}
