/** Vietnamese or English, remembered on this device. */
export type Language = 'vi' | 'en'

const KEPT = 'diemcau.language'

const kept: Language = localStorage.getItem(KEPT) === 'en' ? 'en' : 'vi'
let current = $state<Language>(kept)
document.documentElement.lang = kept

export function language(): Language {
  return current
}

export function setLanguage(chosen: Language): void {
  current = chosen
  localStorage.setItem(KEPT, chosen)
  document.documentElement.lang = chosen
}

/** The texts of one part of the catalogue in the language of the moment. */
export function catalogue<T>(vi: T, en: T): () => T {
  return () => (current === 'en' ? en : vi)
}
