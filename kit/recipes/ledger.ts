// What recipes have done to the tree: recipes/installed.json, committed with it. So `remove` undoes what `add` did,
// whatever became of the recipe since, and tells what the user has changed.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { jsonText } from '../json.ts'
import type { PackageChange } from './packages.ts'
import { RecipeError, type RecipeEdit } from './recipe.ts'

export const LEDGER = 'recipes/installed.json'

/** What one recipe did. */
export interface Entry {
  requires: string[]
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

/** @throws RecipeError when it is there and can't be read */
export function readLedger (root: string): Ledger {
  const path = join(root, LEDGER)
  if (!existsSync(path)) return {}
  try {
    const ledger: unknown = JSON.parse(readFileSync(path, 'utf8'))
    if (!isLedger(ledger)) throw new Error('it is none')
    return ledger
  } catch (error) {
    throw new RecipeError(`${LEDGER} can't be read: ${(error as Error).message}. Restore it from git.`)
  }
}

function isLedger (value: unknown): value is Ledger {
  const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
  return isObject(value) && Object.values(value).every(entry => isObject(entry) && isObject(entry.files) && isObject(entry.packages) && Array.isArray(entry.edits) && Array.isArray(entry.requires) && Array.isArray(entry.needs))
}

/** The ledger's text; undefined for an empty one, which is no file. */
export function ledgerText (ledger: Ledger): string | undefined {
  const entries = Object.entries(ledger).sort(([a], [b]) => a < b ? -1 : 1)
  return entries.length === 0 ? undefined : jsonText(Object.fromEntries(entries))
}

export function digest (text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
