/** What this computer remembers: its hall, and that it has joined in this tab, so that a reload comes back by itself. */
const HALL = 'diemcau.hall'
const JOINED = 'diemcau.hall.joined'

export const keptHall = (): string | undefined => localStorage.getItem(HALL) ?? undefined
export const keepHall = (token: string): void => localStorage.setItem(HALL, token)
export const joinedBefore = (token: string): boolean => sessionStorage.getItem(JOINED) === token
export const noteJoined = (token: string): void => sessionStorage.setItem(JOINED, token)

export function noteLeft(): void {
  sessionStorage.removeItem(JOINED)
}
