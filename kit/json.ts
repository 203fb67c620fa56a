/** A value as JSON text of several lines, as the files and the answers of the kit's commands are. */
export function jsonText (value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
