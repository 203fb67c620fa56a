// Concerns that the kit has from the beginning, taken out or not: their files are in the tree, or in recipes/NAME/files/.
import { isDeepStrictEqual } from 'node:util'
import { digest, type Entry } from './ledger.ts'
import { packagesOf, type Present } from './present.ts'
import { readManifest, recipeNames, type Manifest, type RecipeEdit } from './recipe.ts'
import type { Tree } from './tree.ts'

/** The concerns of the kit that this tree is without, but for one. */
export function absentConcerns (root: string, present: Map<string, Present>, except: string): Manifest[] {
  return recipeNames(root).filter(name => name !== except && !present.has(name)).map(name => readManifest(root, name)).filter(({ builtIn }) => builtIn !== undefined)
}

/** Whether a file is one of a concern's: by its path, or by that of a folder. */
export function isOf (path: string, builtIn: string[] = []): boolean {
  return builtIn.some(own => own.endsWith('/') ? path.startsWith(own) : path === own)
}

/** Edits but for those that one of these makes, too: what two concerns have in common is there with both alone. */
export function ownEdits (edits: RecipeEdit[], absent: Manifest[]): RecipeEdit[] {
  return edits.filter(edit => !absent.some(({ edits }) => edits.some(other => isDeepStrictEqual(other, edit))))
}

/** Where a concern's file is while it is out. */
export function storedAt (name: string, path: string): string {
  return `recipes/${name}/files/${path}`
}

/** Where a file of the kit is that a recipe has taken the place of. */
export function replacedAt (name: string, path: string): string {
  return `recipes/${name}/replaced/${path}`
}

/** Where a file is: with a concern of the kit that was taken out, if not in its place. */
export function placeOf (root: string, tree: Tree, path: string): string {
  if (tree.read(path) !== undefined) return path
  const holder = recipeNames(root).find(name => readManifest(root, name).builtIn !== undefined && tree.read(storedAt(name, path)) !== undefined)
  return holder === undefined ? path : storedAt(holder, path)
}

/** A concern of the kit as if it had been added as it is now. */
export function asAdded (tree: Tree, { requires, edits, dependencies, devDependencies, scripts }: Manifest, paths: string[]): Entry {
  const files = paths.flatMap(path => tree.list(path))
  return {
    requires,
    edits,
    files: Object.fromEntries(files.map(path => [path, digest(tree.read(path) ?? '')])),
    needs: packagesOf({ dependencies, devDependencies }),
    packages: { dependencies, devDependencies, scripts, promoted: {} }
  }
}
