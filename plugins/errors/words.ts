const MAX_LENGTH = 2_000

/** What is kept of an error where an operator looks for it: its words alone, as PostgreSQL can hold them. The log has all of it. */
export function wordsOf (error: unknown): string {
  // No NUL, and no half of a surrogate pair, which a cut may leave.
  return (error instanceof Error ? `${error.name}: ${error.message}` : String(error)).slice(0, MAX_LENGTH).replaceAll('\0', '').toWellFormed()
}
