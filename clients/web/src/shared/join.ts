/** Six-character codes and the tokens they stand for. */
import { post } from './http'
import type { JoinToken } from './protocol'

/** The address of the page that takes the token. */
export function pageFor({ page, token }: JoinToken): string {
  return page.includes(token) ? page : `${page.replace(/\/$/, '')}/${token}`
}

export async function joinByCode(code: string): Promise<JoinToken> {
  return post<JoinToken>('/api/join', { code: tidyCode(code) })
}

/** What a person typed as the server knows it: capitals, nothing between them. */
export function tidyCode(typed: string): string {
  return typed.toUpperCase().replace(/[^0-9A-Z]/g, '').slice(0, 6)
}

/** The token in `/<page>/<token>`, if there is one. */
export function tokenInPath(path: string): string | undefined {
  return path.split('/').filter(Boolean)[1]
}
