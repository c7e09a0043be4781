import { catalogue } from '../shared/language.svelte'
import { hall as en } from '../shared/texts/en'
import { hall as vi } from '../shared/texts/vi'

export const h = catalogue(vi, en)
