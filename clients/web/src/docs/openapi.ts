/** The part of OpenAPI that the server's description uses, flattened for a table. */
interface Media {
  readonly schema?: { readonly $ref?: string; readonly type?: string; readonly items?: { readonly $ref?: string } }
}

interface Operation {
  readonly summary?: string
  readonly description?: string
  readonly parameters?: readonly { readonly name: string; readonly in: string }[]
  readonly requestBody?: { readonly content?: Readonly<Record<string, Media>> }
  readonly responses?: Readonly<Record<string, { readonly content?: Readonly<Record<string, Media>> }>>
}

export interface Description {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components?: { readonly schemas?: Readonly<Record<string, unknown>> }
}

export interface Line {
  readonly method: string
  readonly path: string
  readonly summary: string
  readonly who: string
  readonly takes: string
  readonly gives: string
  readonly query: string
}

function nameOf(content: Readonly<Record<string, Media>> | undefined): string {
  return Object.entries(content ?? {})
    .map(([type, { schema }]) => {
      const list = schema?.items?.$ref?.split('/').pop()
      return schema?.$ref?.split('/').pop() ?? (list ? `${list}[]` : type)
    })
    .join(', ')
}

export function lines({ paths }: Description): Line[] {
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      summary: operation.summary ?? '',
      who: operation.description ?? '',
      takes: nameOf(operation.requestBody?.content),
      gives: nameOf(Object.entries(operation.responses ?? {}).find(([status]) => status.startsWith('2'))?.[1].content),
      query: (operation.parameters ?? []).filter((one) => one.in === 'query').map((one) => one.name).join(', '),
    })),
  )
}
