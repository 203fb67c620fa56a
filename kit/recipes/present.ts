// What a tree has: the concerns of the kit that were not taken out, and the recipes that were added.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readLedger, type Ledger } from './ledger.ts'
import { listOf, readManifest, recipeNames, RecipeError, type Manifest } from './recipe.ts'

/** One that is there: which others it needs and does not go with, and its packages. */
export interface Present { requires: string[], conflicts: string[], needs: string[], isBuiltIn: boolean }

/** Those that a tree has, by their names. @throws RecipeError when a recipe or the ledger can't be read */
export function presentIn (root: string, ledger: Ledger = readLedger(root)): Map<string, Present> {
  const known = new Map(recipeNames(root).map(name => [name, readManifest(root, name)]))
  const added = Object.entries(ledger).map(([name, { requires, needs }]): [string, Present] => [name, { requires, needs, conflicts: known.get(name)?.conflicts ?? [], isBuiltIn: false }])
  const builtIn = [...known.values()].filter(manifest => isIn(root, manifest)).map(({ name, requires, conflicts, ...recipe }): [string, Present] => [name, { requires, conflicts, needs: packagesOf(recipe), isBuiltIn: true }])
  return new Map([...builtIn, ...added])
}

/** A concern, or a recipe that was added, and before it those that are there and need it: in the order in which they can go. */
export function withNeeding (root: string, name: string): string[] {
  const needing = [...presentIn(root)].filter(([, { requires }]) => requires.includes(name)).map(([other]) => other)
  return [...new Set([...needing.flatMap(other => withNeeding(root, other)), name])]
}

/**
 * A recipe and, before it, those that it needs and that are not there: in the order in which they can come.
 * @throws RecipeError when one is a concern of the kit, or no recipe
 */
export function withNeeded (root: string, name: string, present = presentIn(root), asked: string[] = []): string[] {
  if (asked.includes(name)) throw new RecipeError(`${listOf(asked.map(one => `"${one}"`))} need each other.`)
  const needed = readManifest(root, name).requires.filter(other => !present.has(other))
  const known = recipeNames(root)
  const first = needed.filter(other => !known.includes(other) || readManifest(root, other).builtIn !== undefined)
  if (first.length > 0) throw new RecipeError(`"${name}" needs ${listOf(first)}. Add ${listOf(first)} first.`)
  return [...new Set([...needed.flatMap(other => withNeeded(root, other, present, [...asked, name])), name])]
}

export function packagesOf ({ dependencies, devDependencies }: Pick<Manifest, 'dependencies' | 'devDependencies'>): string[] {
  return Object.keys({ ...dependencies, ...devDependencies })
}

/** A concern of the kit has files of its own in recipes/ while it is out. */
function isIn (root: string, { name, builtIn }: Manifest): boolean {
  return builtIn !== undefined && !existsSync(join(root, 'recipes', name, 'files'))
}
