import { catalogue } from '../shared/language.svelte'
import { hall as en } from '../shared/texts/en/hall'
import { hall as vi } from '../shared/texts/vi/hall'

export const h = catalogue(vi, en)
