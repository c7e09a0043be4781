/** How numbers are written in the language of the moment. */
import { language } from './language.svelte'
import { tenths } from './vote'

const locale = (): string => (language() === 'en' ? 'en-GB' : 'vi-VN')

/** "9.847" */
export function number(n: number): string {
  return n.toLocaleString(locale())
}

/** "66,6%" */
export function percent(share: number): string {
  return tenths(share).toLocaleString(locale(), { style: 'percent', maximumFractionDigits: 1 })
}
