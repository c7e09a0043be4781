/** Where in the console: the address after `#` holds the meeting and the section, so that reload and back work. */
export const SECTIONS = ['control', 'halls', 'delegates', 'roster', 'documents', 'questions', 'votes'] as const
export type Section = (typeof SECTIONS)[number]

const read = (): URLSearchParams => new URLSearchParams(location.hash.slice(1))
let fields = $state.raw(read())
addEventListener('hashchange', () => (fields = read()))

export const firstRunSecret = (): string | null => fields.get('first')
export const meetingId = (): string | null => fields.get('m')

export function section(): Section {
  return SECTIONS.find((one) => one === fields.get('s')) ?? 'control'
}

export function go(meeting: string | null, to: Section = 'control'): void {
  location.hash = meeting === null ? '' : new URLSearchParams({ m: meeting, s: to }).toString()
}
