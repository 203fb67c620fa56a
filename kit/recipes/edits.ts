// Edits to files that are the fork's own: lines above a comment that names a place.
import { RecipeError, type RecipeEdit } from './recipe.ts'

/** The line that names a place, whatever the language's comments look like. */
function isAnchor (line: string, anchor: string): boolean {
  return new RegExp(`^\\s*(//|#|<!--) recipes: ${anchor}\\b`).test(line)
}

/**
 * Puts an edit's lines above its anchor, indented as that is.
 * @throws RecipeError with the edit to make by hand, when the anchor is not there exactly once
 */
export function insert (text: string | undefined, edit: RecipeEdit): string {
  const lines = text?.split('\n') ?? []
  const found = lines.flatMap((line, index) => isAnchor(line, edit.anchor) ? [index] : [])
  if (text === undefined || found.length !== 1) {
    const problem = text === undefined ? `${edit.file} is not there` : `the comment "recipes: ${edit.anchor}" is ${found.length === 0 ? 'not' : `${found.length} times`} in ${edit.file}`
    throw new RecipeError(`${problem}. Put it back where these lines go, then add the recipe again; it inserts above it:\n\n${edit.lines.join('\n')}\n`)
  }
  const [at = 0] = found
  const indent = /^\s*/.exec(lines[at] ?? '')?.[0] ?? ''
  return lines.toSpliced(at, 0, ...indented(edit.lines, indent)).join('\n')
}

/** The text without an edit's lines; undefined when they are not there as they were inserted, once. */
export function withdraw (text: string, { lines }: RecipeEdit): string | undefined {
  const all = text.split('\n')
  const [first = ''] = lines
  const starts = all.flatMap((line, index) => {
    if (!line.endsWith(first)) return []
    const wanted = indented(lines, line.slice(0, line.length - first.length))
    return wanted.every((text, offset) => all[index + offset] === text) ? [index] : []
  })
  const [at] = starts
  return at === undefined || starts.length !== 1 ? undefined : all.toSpliced(at, lines.length).join('\n')
}

function indented (lines: string[], indent: string): string[] {
  return lines.map(line => line === '' ? '' : indent + line)
}
