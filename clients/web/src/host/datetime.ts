/** Between seconds since 1970 and what `<input type="datetime-local">` holds. */
export function toLocal(at: number | null): string {
  if (at === null) return ''
  const date = new Date(at * 1000)
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}

export function fromLocal(written: string): number | null {
  const time = Date.parse(written)
  return Number.isNaN(time) ? null : time / 1000
}
