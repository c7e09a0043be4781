/** The phone remembers whose it is, so that a QR code is scanned once. */
const KEPT = 'diemcau.delegate'

export function keptToken(): string | undefined {
  return localStorage.getItem(KEPT) ?? undefined
}

export function keepToken(token: string): void {
  localStorage.setItem(KEPT, token)
}

export function forgetToken(): void {
  localStorage.removeItem(KEPT)
}
