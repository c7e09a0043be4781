import { catalogue } from '../shared/language.svelte'
import { delegate as en } from '../shared/texts/en/delegate'
import { delegate as vi } from '../shared/texts/vi/delegate'

export const d = catalogue(vi, en)
