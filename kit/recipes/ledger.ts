// What recipes have done to the tree: recipes/installed.json, committed with it. So `remove` undoes what `add` did,
// whatever became of the recipe since, and tells what the user has changed.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { jsonText } from '../json.ts'
import type { PackageChange } from './packages.ts'
import { RecipeError, type RecipeEdit } from './recipe.ts'

export const LEDGER = 'recipes/installed.json'

/** What one recipe did. */
export interface Entry {
  requires: string[]
  /** It came with one that needs it, and goes with the last that does. */
  isAutomatic?: boolean
  /** The digest of each file as it was written. */
  files: Record<string, string>
  edits: RecipeEdit[]
  /** The packages that it needs, and what of them it changed in package.json. */
  needs: string[]
  packages: PackageChange
  /** The packages that it took the place of; the files are in recipes/NAME/replaced/. */
  replaced?: Record<string, string>
}

export type Ledger = Record<string, Entry>

const shape = Compile(Type.Record(Type.String(), Type.Object({
  requires: Type.Array(Type.String()),
  isAutomatic: Type.Optional(Type.Boolean()),
  files: Type.Record(Type.String(), Type.String()),
  edits: Type.Array(Type.Object({})),
  needs: Type.Array(Type.String()),
  packages: Type.Object({})
})))

/** @throws RecipeError when it is there and can't be read */
export function readLedger (root: string): Ledger {
  const path = join(root, LEDGER)
  if (!existsSync(path)) return Object.create(null) as Ledger
  try {
    const ledger: unknown = JSON.parse(readFileSync(path, 'utf8'))
    if (!shape.Check(ledger)) throw new Error('it is none')
    // Without a prototype: no recipe is called `constructor`.
    return Object.assign(Object.create(null) as Ledger, ledger)
  } catch (error) {
    throw new RecipeError(`${LEDGER} can't be read: ${(error as Error).message}. Restore it from git.`)
  }
}

/** The ledger's text; undefined for an empty one, which is no file. */
export function ledgerText (ledger: Ledger): string | undefined {
  const entries = Object.entries(ledger).sort(([a], [b]) => a < b ? -1 : 1)
  return entries.length === 0 ? undefined : jsonText(Object.fromEntries(entries))
}

export function digest (text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
