/** Requests to the server's HTTP interface; every failure is a `Failure` with a stable code. */
import type { Problem } from './protocol'

export class Failure extends Error {
  readonly code: string
  readonly field: string | null

  /** `code` is the server's, or "offline" when it could not be reached. */
  constructor({ code, field }: Problem) {
    super(code)
    this.code = code
    this.field = field
  }
}

export interface Call {
  method?: 'GET' | 'POST'
  body?: unknown
  /** For whom: a bearer token; without it the staff's cookie counts. */
  token?: string
  signal?: AbortSignal
}

const OFFLINE: Problem = { code: 'offline', field: null }

function problemOf(text: string, status: number): Problem {
  try {
    const problem = JSON.parse(text) as Partial<Problem>
    if (typeof problem.code === 'string') return { code: problem.code, field: problem.field ?? null }
  } catch {
    // not from our server: a proxy's page
  }
  return { code: status >= 502 && status <= 504 ? 'unavailable' : status === 413 ? 'too_large' : 'internal', field: null }
}

async function call(path: string, { method = 'GET', body, token, signal }: Call): Promise<Response> {
  const headers: Record<string, string> = {}
  if (token) headers['Authorization'] = `Bearer ${token}`
  if (method === 'POST') headers['Content-Type'] = 'application/json'
  const payload = method === 'POST' ? { body: JSON.stringify(body ?? {}) } : {}
  const response = await fetch(path, { method, headers, ...payload, ...(signal ? { signal } : {}) }).catch((error: unknown) => {
    if (signal?.aborted) throw error
    throw new Failure(OFFLINE)
  })
  if (!response.ok) throw new Failure(problemOf(await response.text(), response.status))
  return response
}

export async function getJson<T>(path: string, options: Call = {}): Promise<T> {
  return (await (await call(path, options)).json()) as T
}

export async function post<T>(path: string, body: unknown = {}, options: Pick<Call, 'token' | 'signal'> = {}): Promise<T> {
  const text = await (await call(path, { method: 'POST', body, ...options })).text()
  return (text ? JSON.parse(text) : undefined) as T
}

export async function getBlob(path: string, options: Call = {}): Promise<Blob> {
  return (await call(path, options)).blob()
}

export async function getText(path: string, options: Call = {}): Promise<string> {
  return (await call(path, options)).text()
}

/** Send a form with files; `progress` is told the share sent, 0 to 1. (`fetch` cannot tell.) */
export function upload<T>(path: string, form: FormData, progress: (share: number) => void = () => undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('POST', path)
    request.upload.onprogress = ({ loaded, total }) => progress(total ? loaded / total : 0)
    request.onerror = () => reject(new Failure(OFFLINE))
    request.onload = () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText) as T)
      else reject(new Failure(problemOf(request.responseText, request.status)))
    }
    request.send(form)
  })
}

/** The code to show for whatever went wrong. */
export function codeOf(error: unknown): string {
  return error instanceof Failure ? error.code : 'internal'
}
