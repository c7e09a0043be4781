import { catalogue } from '../shared/language.svelte'
import { delegate as en } from '../shared/texts/en'
import { delegate as vi } from '../shared/texts/vi'

export const d = catalogue(vi, en)
