// Edits to files that are the fork's own: lines above a comment that names a place, or in place of others.
import { RecipeError, type RecipeEdit } from './recipe.ts'

type Insertion = Extract<RecipeEdit, { anchor: string }>

/** What an edit is called. */
export function nameOf (edit: RecipeEdit): string {
  return 'anchor' in edit ? `${edit.file} (${edit.anchor})` : edit.file
}

/**
 * A file's text with an edit.
 * @throws RecipeError with the edit to make by hand, when its place is not there exactly once
 */
export function edited (text: string | undefined, edit: RecipeEdit): string {
  if ('anchor' in edit) return insert(text, edit)
  const result = text === undefined ? undefined : exchange(text, edit.without, edit.with)
  if (result === undefined) throw new RecipeError(`${text === undefined ? `${edit.file} is not there` : `These lines are not once in ${edit.file}`}. Put them back, then add again:\n\n${edit.without.join('\n')}\n\nThey become:\n\n${edit.with.join('\n')}\n`)
  return result
}

/** The text without an edit; undefined when it is not there as it was made, once. */
export function restored (text: string, edit: RecipeEdit): string | undefined {
  return 'anchor' in edit ? withdraw(text, edit) : exchange(text, edit.with, edit.without)
}

/** What is to be done by hand where `restored` can't. */
export function byHand (edit: RecipeEdit): string {
  return 'anchor' in edit
    ? `${edit.file}: the lines for "${edit.anchor}" are not as they were added`
    : `${edit.file}: it is not as expected. These lines:\n\n${edit.with.join('\n')}\n\nbecome:\n\n${edit.without.join('\n')}\n`
}

/** The line that names a place, whatever the language's comments look like. */
function isAnchor (line: string, anchor: string): boolean {
  return new RegExp(`^\\s*(//|#|<!--) recipes: ${anchor}\\b`).test(line)
}

/** Puts an edit's lines above its anchor, indented as that is. */
function insert (text: string | undefined, edit: Insertion): string {
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

function withdraw (text: string, { lines }: Insertion): string | undefined {
  const all = text.split('\n')
  const [first = ''] = lines
  const starts = all.flatMap((line, index) => line.endsWith(first) && startsAt(all, index, indented(lines, line.slice(0, line.length - first.length))) ? [index] : [])
  const [at] = starts
  return at === undefined || starts.length !== 1 ? undefined : all.toSpliced(at, lines.length).join('\n')
}

/** The text with other lines in place of some; undefined when these are not there once. */
function exchange (text: string, from: string[], to: string[]): string | undefined {
  const all = text.split('\n')
  const [at, ...others] = all.flatMap((_line, index) => startsAt(all, index, from) ? [index] : [])
  return at === undefined || others.length > 0 ? undefined : all.toSpliced(at, from.length, ...to).join('\n')
}

function startsAt (all: string[], index: number, wanted: string[]): boolean {
  return wanted.every((text, offset) => all[index + offset] === text)
}

function indented (lines: string[], indent: string): string[] {
  return lines.map(line => line === '' ? '' : indent + line)
}
