// What adding and removing a recipe changes, worked out before anything is changed.
import { dirname } from 'node:path'
import { insert, withdraw } from './edits.ts'
import { digest, LEDGER, ledgerText, readLedger, type Entry, type Ledger } from './ledger.ts'
import { LOCK, PACKAGE, withoutPackages, withPackages, type PackageChange } from './packages.ts'
import { readRecipe, recipeNames, RecipeError } from './recipe.ts'
import { Tree } from './tree.ts'

/** The changes, what is said of them, and whether npm has something to install or take away. */
export interface Plan {
  action: 'add' | 'remove'
  name: string
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

/**
 * Plans to add a recipe.
 * @throws RecipeError when it does not fit the tree: nothing of the user's is overwritten
 */
export function planAdd (root: string, name: string): Plan {
  const recipe = readRecipe(root, name)
  const ledger = readLedger(root)
  const tree = new Tree(root)
  const plan: Plan = { action: 'add', name, isDone: false, files: [], edits: [], packages: [], next: recipe.next, left: [], tree }
  if (ledger[name]) return { ...plan, isDone: true }

  const missing = recipe.requires.filter(other => !ledger[other])
  if (missing.length > 0) throw new RecipeError(`"${name}" needs ${missing.join(' and ')}: add that first.`)
  const conflicting = Object.keys(ledger).filter(other => recipe.conflicts.includes(other) || conflictsOf(root, other).includes(name))
  if (conflicting.length > 0) throw new RecipeError(`"${name}" does not go with ${conflicting.join(' and ')}, which this tree has: remove that first.`)

  for (const [path, text] of recipe.files) {
    const [room = ''] = path.split('/')
    if (dirname(path) !== '.' && !tree.has(room)) throw new RecipeError(`"${name}" has files for ${room}/, which is not there. Has it another name here? Copy recipes/${name}/files by hand.`)
    const present = tree.read(path)
    if (present !== undefined) throw new RecipeError(`${path} is there already${present === text ? ', as the recipe has it' : ''}. Move it away first: nothing is overwritten.`)
    tree.write(path, text)
    plan.files.push(path)
  }
  for (const edit of recipe.edits) {
    tree.write(edit.file, insert(tree.read(edit.file), edit))
    plan.edits.push(`${edit.file} (${edit.anchor})`)
  }
  const { text, change } = withPackages(tree.read(PACKAGE) ?? '{}', recipe)
  plan.packages = named({ ...change.dependencies, ...change.devDependencies, ...change.promoted })
  changePackages(tree, text)
  const entry: Entry = { requires: recipe.requires, files: Object.fromEntries([...recipe.files].map(([path, text]) => [path, digest(text)])), edits: recipe.edits, needs: Object.keys({ ...recipe.dependencies, ...recipe.devDependencies }), packages: change }
  tree.write(LEDGER, ledgerText({ ...ledger, [name]: entry }))
  return plan
}

/**
 * Plans to undo what `add` did. What the user has changed since stays, and is named.
 * @throws RecipeError when another recipe needs it
 */
export function planRemove (root: string, name: string): Plan {
  const ledger = readLedger(root)
  const { [name]: entry, ...rest } = ledger
  const tree = new Tree(root)
  const plan: Plan = { action: 'remove', name, isDone: false, files: [], edits: [], packages: [], next: [], left: [], tree }
  if (!entry) {
    readRecipe(root, name)
    return { ...plan, isDone: true }
  }
  const needing = Object.entries(rest).filter(([, { requires }]) => requires.includes(name)).map(([other]) => other)
  if (needing.length > 0) throw new RecipeError(`${needing.join(' and ')} needs "${name}": remove that first.`)

  for (const [path, written] of Object.entries(entry.files)) {
    const present = tree.read(path)
    if (present === undefined) continue
    if (digest(present) === written) {
      tree.write(path, undefined)
      plan.files.push(path)
    } else plan.left.push(`${path}: changed since it was added`)
  }
  for (const edit of entry.edits.toReversed()) {
    const present = tree.read(edit.file)
    if (present === undefined) continue
    const without = withdraw(present, edit)
    if (without !== undefined) {
      tree.write(edit.file, without)
      plan.edits.push(`${edit.file} (${edit.anchor})`)
    } else plan.left.push(`${edit.file}: the lines for "${edit.anchor}" are not as they were added`)
  }
  const { gone, others } = handOver(entry.packages, rest)
  plan.packages = named({ ...gone.dependencies, ...gone.devDependencies, ...gone.promoted })
  changePackages(tree, withoutPackages(tree.read(PACKAGE) ?? '{}', gone))
  tree.write(LEDGER, ledgerText(others))
  return plan
}

/** What a recipe says that it does not go with, if the checkout still has it. */
function conflictsOf (root: string, name: string): string[] {
  return recipeNames(root).includes(name) ? readRecipe(root, name).conflicts : []
}

/** npm changes the lockfile: it is among what is taken back when that fails. */
function changePackages (tree: Tree, text: string): void {
  if (text === tree.read(PACKAGE)) return
  tree.write(PACKAGE, text)
  tree.write(LOCK, tree.read(LOCK))
}

/** Packages that another recipe needs, too, are its own from now on. */
function handOver (packages: PackageChange, others: Ledger): { gone: PackageChange, others: Ledger } {
  const gone: PackageChange = { dependencies: {}, devDependencies: {}, promoted: {}, scripts: packages.scripts }
  const heirs = structuredClone(others)
  for (const kind of ['dependencies', 'devDependencies', 'promoted'] as const) {
    for (const [dependency, version] of Object.entries(packages[kind])) {
      const heir = Object.values(heirs).find(({ needs }) => needs.includes(dependency))
      Object.assign(heir?.packages[kind] ?? gone[kind], { [dependency]: version })
    }
  }
  return { gone, others: heirs }
}

function named (versions: Record<string, string>): string[] {
  return Object.entries(versions).map(([name, version]) => `${name}@${version}`)
}
