const MAX_LENGTH = 2_000
const WORDLESS = 'an error that can\'t be put into words'

/** What is kept of an error where an operator looks for it: its words alone, as PostgreSQL can hold them. The log has all of it. Never throws. */
export function wordsOf (error: unknown): string {
  // No NUL, and no half of a surrogate pair, which a cut may leave.
  return textOf(error).slice(0, MAX_LENGTH).replaceAll('\0', '').toWellFormed()
}

/** Anything at all can be thrown: what has no prototype, or a message that throws. */
function textOf (error: unknown): string {
  try {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  } catch {
    return WORDLESS
  }
}
