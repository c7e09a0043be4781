/** The phone remembers whose it is, so that a QR code is scanned once. */
import { forgetRemembered } from '../shared/remembered'
import { unsentOn } from '../shared/unsent'

const KEPT = 'diemcau.delegate'

export function keptToken(): string | undefined {
  return localStorage.getItem(KEPT) ?? undefined
}

export function keepToken(token: string): void {
  localStorage.setItem(KEPT, token)
}

/** This phone is nobody's any more: nothing of its owner stays. */
export function forgetOwner(token: string | undefined): void {
  localStorage.removeItem(KEPT)
  forgetRemembered(sessionStorage)
  if (!token) return
  const unsent = unsentOn(localStorage, token)
  for (const command of unsent.load()) unsent.drop(command)
}
