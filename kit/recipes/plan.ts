// What adding and removing a recipe changes, worked out before anything is changed.
import { readLedger, type Ledger } from './ledger.ts'
import type { PackageChange } from './packages.ts'
import { presentIn, type Present } from './present.ts'
import { Tree } from './tree.ts'

/** The changes, what is said of them, and whether npm has something to install or take away. */
export interface Plan {
  action: 'add' | 'remove'
  name: string
  /** The recipes that come with it, because it needs them, or go with it, because nothing does any more. */
  with: string[]
  /** There is nothing to do. */
  isDone: boolean
  files: string[]
  edits: string[]
  packages: string[]
  /** What the user has to do next. */
  next: string[]
  /** What `remove` leaves, and why. */
  left: string[]
  tree: Tree
}

/** A tree while it is planned, and what it has by then. */
export interface Planned { root: string, plan: Plan, ledger: Ledger, present: Map<string, Present> }

/** A plan without changes. @throws RecipeError when the ledger or a recipe can't be read */
export function begin (action: Plan['action'], root: string, name: string): Planned {
  const ledger = readLedger(root)
  return { root, ledger, present: presentIn(root, ledger), plan: { action, name, with: [], isDone: false, files: [], edits: [], packages: [], next: [], left: [], tree: new Tree(root) } }
}

/** The packages that a recipe and those that it needs brought, where it was added. */
export function packagesAdded (root: string, name: string): string[] {
  const ledger = readLedger(root)
  return [name, ...ledger[name]?.requires ?? []].flatMap(one => ledger[one] === undefined ? [] : named(ledger[one].packages))
}

/** As npm writes them. */
export function named ({ dependencies, devDependencies, promoted }: PackageChange): string[] {
  return Object.entries({ ...dependencies, ...devDependencies, ...promoted }).map(([name, version]) => `${name}@${version}`)
}
