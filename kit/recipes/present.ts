// What a tree has: the concerns of the kit that were not taken out, and the recipes that were added.
import { readLedger, type Ledger } from './ledger.ts'
import { readRecipe, recipeNames, type Recipe } from './recipe.ts'

/** One that is there: which others it needs and does not go with, and its packages. */
export interface Present { requires: string[], conflicts: string[], needs: string[], isBuiltIn: boolean }

/** Those that a tree has, by their names. @throws RecipeError when a recipe or the ledger can't be read */
export function presentIn (root: string, ledger: Ledger = readLedger(root)): Map<string, Present> {
  const known = new Map(recipeNames(root).map(name => [name, readRecipe(root, name)]))
  const added = Object.entries(ledger).map(([name, { requires, needs }]): [string, Present] => [name, { requires, needs, conflicts: known.get(name)?.conflicts ?? [], isBuiltIn: false }])
  const builtIn = [...known.values()].filter(isIn).map(({ name, requires, conflicts, ...recipe }): [string, Present] => [name, { requires, conflicts, needs: packagesOf(recipe), isBuiltIn: true }])
  return new Map([...builtIn, ...added])
}

export function packagesOf ({ dependencies, devDependencies }: Pick<Recipe, 'dependencies' | 'devDependencies'>): string[] {
  return Object.keys({ ...dependencies, ...devDependencies })
}

/** A concern of the kit has files of its own in recipes/ while it is out. */
function isIn ({ builtIn, files }: Recipe): boolean {
  return builtIn !== undefined && files.size === 0
}
