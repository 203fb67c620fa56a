import { absentConcerns, asAdded, isOf, ownEdits, placeOf, replacedAt, storedAt } from './concerns.ts'
import { byHand, nameOf, restored } from './edits.ts'
import { digest, LEDGER, ledgerText, type Ledger } from './ledger.ts'
import { changePackages, packagesText, withDependencies, withoutPackages, type PackageChange } from './packages.ts'
import { begin, named, type Plan, type Planned } from './plan.ts'
import type { Present } from './present.ts'
import { listOf, readManifest, recipeNames, RecipeError } from './recipe.ts'

/**
 * Plans to undo what `add` did, or to take a concern of the kit out: its files go to recipes/, whence `add` puts them
 * back. What the user has changed of a recipe stays, and is named.
 * @throws RecipeError when another needs it
 */
export function planRemove (root: string, name: string): Plan {
  const planned = begin('remove', root, name)
  const { plan, present } = planned
  if (!present.has(name)) return { ...plan, name: readManifest(root, name).name, isDone: true }
  const needing = [...present].filter(([, { requires }]) => requires.includes(name)).map(([other]) => other)
  if (needing.length > 0) throw new RecipeError(`"${name}" can't be removed: ${listOf(needing)} ${needing.length > 1 ? 'need' : 'needs'} it. Remove ${listOf(needing)} first.`)
  for (let one: string | undefined = name; one !== undefined; one = unneeded(planned)) {
    removeOne(planned, one)
    if (one !== name) plan.with.push(one)
  }
  return plan
}

/** One that was added because another needed it, when none does. */
function unneeded ({ ledger, present }: Planned): string | undefined {
  return Object.keys(ledger).find(name => ledger[name]?.isAutomatic && ![...present.values()].some(({ requires }) => requires.includes(name)))
}

function removeOne (planned: Planned, name: string): void {
  const { root, plan, ledger, present } = planned
  const { tree } = plan
  const { [name]: added, ...rest } = ledger
  // Of a recipe that was added, and is none any more, the ledger has all.
  const recipe = recipeNames(root).includes(name) || added === undefined ? readManifest(root, name) : undefined
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
  if (!entry) return
  const kept = replacedAt(name, '')
  for (const path of tree.list(kept)) {
    const place = path.slice(kept.length)
    if (tree.read(place) === undefined) tree.move(path, place)
    else plan.left.push(`${path}: ${place} is there`)
  }
  const { gone, others } = handOver(entry.packages, rest, [...present.values()])
  plan.packages.push(...named(gone))
  plan.next.push(...recipe?.nextWithout ?? [])
  changePackages(tree, withDependencies(withoutPackages(packagesText(tree), gone), entry.replaced ?? {}))
  planned.ledger = others
  tree.write(LEDGER, ledgerText(others))
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
