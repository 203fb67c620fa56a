// What adding and removing a recipe changes, worked out before anything is changed.
import { dirname } from 'node:path'
import { absentConcerns, asAdded, isOf, ownEdits, placeOf, replacedAt, storedAt } from './concerns.ts'
import { byHand, edited, nameOf, restored } from './edits.ts'
import { digest, LEDGER, ledgerText, readLedger, type Entry, type Ledger } from './ledger.ts'
import { changePackages, packagesText, withDependencies, withoutDependencies, withoutPackages, withPackages, type PackageChange } from './packages.ts'
import { packagesOf, presentIn, type Present } from './present.ts'
import { readManifest, readRecipe, recipeNames, RecipeError } from './recipe.ts'
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
 * Plans to add a recipe, or to put a concern of the kit back.
 * @throws RecipeError when it does not fit the tree: nothing of the user's is overwritten
 */
export function planAdd (root: string, name: string): Plan {
  const recipe = readRecipe(root, name)
  const ledger = readLedger(root)
  const present = presentIn(root, ledger)
  const tree = new Tree(root)
  const plan: Plan = { action: 'add', name, isDone: false, files: [], edits: [], packages: [], next: recipe.next, left: [], tree }
  if (present.has(name)) return { ...plan, isDone: true }

  const missing = recipe.requires.filter(other => !present.has(other))
  if (missing.length > 0) throw new RecipeError(`"${name}" needs ${missing.join(' and ')}. Add ${missing.join(' and ')} first.`)
  const conflicting = [...present].filter(([other, { conflicts }]) => recipe.conflicts.includes(other) || conflicts.includes(name)).map(([other]) => other)
  if (conflicting.length > 0) throw new RecipeError(`"${name}" does not go with ${conflicting.join(' and ')}, which this tree has. Remove ${conflicting.join(' and ')} first.`)

  for (const path of recipe.replaces.paths.flatMap(path => tree.list(path))) tree.move(path, replacedAt(name, path))
  const absent = absentConcerns(root, present, name)
  for (const [path, text] of recipe.files) {
    const [room = ''] = path.split('/')
    if (!recipe.builtIn && dirname(path) !== '.' && !tree.has(room)) throw new RecipeError(`"${name}" has files for ${room}/, which is not there. Has it another name here? Copy recipes/${name}/files by hand.`)
    const found = tree.read(path)
    if (found !== undefined) throw new RecipeError(`${path} is there already${found === text ? ', as the recipe has it' : ''}. Move it away first: nothing is overwritten.`)
    const other = recipe.builtIn ? absent.find(({ builtIn }) => isOf(path, builtIn)) : undefined
    tree.write(other === undefined ? path : storedAt(other.name, path), text)
    if (recipe.builtIn) tree.write(storedAt(name, path), undefined)
    plan.files.push(path)
  }
  for (const edit of ownEdits(recipe.edits, absent)) {
    const place = placeOf(root, tree, edit.file)
    tree.write(place, edited(tree.read(place), edit))
    plan.edits.push(nameOf({ ...edit, file: place }))
  }
  plan.edits = [...new Set(plan.edits)]
  const { text: others, taken } = withoutDependencies(packagesText(tree), recipe.replaces.dependencies)
  const { text, change } = withPackages(others, recipe)
  plan.packages = named(change)
  changePackages(tree, text)
  if (recipe.builtIn) return plan
  const entry: Entry = { requires: recipe.requires, files: Object.fromEntries([...recipe.files].map(([path, text]) => [path, digest(text)])), edits: recipe.edits, needs: packagesOf(recipe), packages: change, ...Object.keys(taken).length === 0 ? {} : { replaced: taken } }
  tree.write(LEDGER, ledgerText({ ...ledger, [name]: entry }))
  return plan
}

/**
 * Plans to undo what `add` did, or to take a concern of the kit out: its files go to recipes/, whence `add` puts them
 * back. What the user has changed of a recipe stays, and is named.
 * @throws RecipeError when another needs it
 */
export function planRemove (root: string, name: string): Plan {
  const ledger = readLedger(root)
  const present = presentIn(root, ledger)
  const tree = new Tree(root)
  const plan: Plan = { action: 'remove', name, isDone: false, files: [], edits: [], packages: [], next: [], left: [], tree }
  const { [name]: added, ...rest } = ledger
  const recipe = recipeNames(root).includes(name) || added === undefined ? readManifest(root, name) : undefined
  if (!present.has(name)) return { ...plan, isDone: true }
  const needing = [...present].filter(([, { requires }]) => requires.includes(name)).map(([other]) => other)
  if (needing.length > 0) throw new RecipeError(`"${name}" can't be removed: ${needing.join(' and ')} ${needing.length > 1 ? 'need' : 'needs'} it. Remove ${needing.join(' and ')} first.`)
  present.delete(name)

  const isBuiltIn = recipe?.builtIn !== undefined
  const entry = recipe?.builtIn ? asAdded(tree, recipe, recipe.builtIn) : added
  for (const [path, written] of Object.entries(entry?.files ?? {})) {
    const found = tree.read(path)
    if (found === undefined) continue
    if (digest(found) === written) {
      if (isBuiltIn) tree.write(storedAt(name, path), found)
      tree.write(path, undefined)
      plan.files.push(path)
    } else plan.left.push(`${path}: changed since it was added`)
  }
  const absent = isBuiltIn ? absentConcerns(root, present, name) : []
  for (const edit of ownEdits(entry?.edits ?? [], absent).toReversed()) {
    const place = placeOf(root, tree, edit.file)
    const found = tree.read(place)
    if (found === undefined) continue
    const without = restored(found, edit)
    if (without !== undefined) {
      tree.write(place, without)
      if (!isOf(place, [storedAt(name, '')])) plan.edits.push(nameOf({ ...edit, file: place }))
    } else plan.left.push(byHand(edit))
  }
  plan.edits = [...new Set(plan.edits)]
  if (!entry) return plan
  const kept = replacedAt(name, '')
  for (const path of tree.list(kept)) {
    const place = path.slice(kept.length)
    if (tree.read(place) === undefined) tree.move(path, place)
    else plan.left.push(`${path}: ${place} is there`)
  }
  const { gone, others } = handOver(entry.packages, rest, [...present.values()])
  plan.packages = named(gone)
  plan.next = recipe?.nextWithout ?? []
  changePackages(tree, withDependencies(withoutPackages(packagesText(tree), gone), entry.replaced ?? {}))
  tree.write(LEDGER, ledgerText(others))
  return plan
}

/** Packages that a concern of the kit needs stay; those that another recipe needs are its own from now on. */
function handOver (packages: PackageChange, others: Ledger, present: Present[]): { gone: PackageChange, others: Ledger } {
  const gone: PackageChange = { dependencies: {}, devDependencies: {}, promoted: {}, scripts: packages.scripts }
  const heirs = structuredClone(others)
  const kept = new Set(present.filter(({ isBuiltIn }) => isBuiltIn).flatMap(({ needs }) => needs))
  for (const kind of ['dependencies', 'devDependencies', 'promoted'] as const) {
    for (const [dependency, version] of Object.entries(packages[kind])) {
      if (kept.has(dependency)) continue
      const heir = Object.values(heirs).find(({ needs }) => needs.includes(dependency))
      Object.assign(heir?.packages[kind] ?? gone[kind], { [dependency]: version })
    }
  }
  return { gone, others: heirs }
}

/** The packages that a recipe brought, where it was added. */
export function packagesAdded (root: string, name: string): string[] {
  const { [name]: entry } = readLedger(root)
  return entry === undefined ? [] : named(entry.packages)
}

function named ({ dependencies, devDependencies, promoted }: PackageChange): string[] {
  return Object.entries({ ...dependencies, ...devDependencies, ...promoted }).map(([name, version]) => `${name}@${version}`)
}
