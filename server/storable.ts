/** JSON that may hold what PostgreSQL's text can't: in strict UTF-8 only an escape can make NUL or half a surrogate pair. */
const SUSPECT = /\\u(?:0000|d[89a-f])/i

/** Whether the strings of a JSON text have to be looked at, once parsed. */
export function isSuspect (json: string): boolean {
  return SUSPECT.test(json)
}

/** Whether PostgreSQL can store a text as it is. */
export function isStorable (text: string): boolean {
  return !text.includes('\0') && text.isWellFormed()
}
