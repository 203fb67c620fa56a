import { dirname } from 'node:path'
import { absentConcerns, isOf, ownEdits, placeOf, replacedAt, storedAt } from './concerns.ts'
import { edited, nameOf } from './edits.ts'
import { digest, LEDGER, ledgerText } from './ledger.ts'
import { changePackages, packagesText, withoutDependencies, withPackages } from './packages.ts'
import { begin, named, type Plan, type Planned } from './plan.ts'
import { packagesOf, withNeeded } from './present.ts'
import { listOf, readRecipe, RecipeError } from './recipe.ts'

/**
 * Plans to add a recipe with those that it needs, or to put a concern of the kit back.
 * @throws RecipeError when it does not fit the tree: nothing of the user's is overwritten
 */
export function planAdd (root: string, name: string): Plan {
  const planned = begin('add', root, name)
  const { plan, ledger, present } = planned
  const recipe = readRecipe(root, name)
  const { [name]: found } = ledger
  if (found?.isAutomatic) {
    // It is asked for now, and stays when what needed it goes.
    const { isAutomatic, ...entry } = found
    plan.tree.write(LEDGER, ledgerText({ ...ledger, [name]: entry }))
    return { ...plan, next: [`nothing: ${name} was there, and stays now when what needs it goes`] }
  }
  if (present.has(name)) return { ...plan, next: recipe.next, isDone: true }
  const names = withNeeded(root, name, present)
  for (const one of names) addOne(planned, one, one !== name)
  plan.with = names.filter(one => one !== name)
  return plan
}

function addOne ({ root, plan, ledger, present }: Planned, name: string, isAutomatic: boolean): void {
  const { tree } = plan
  const recipe = readRecipe(root, name)
  const conflicting = [...present].filter(([other, { conflicts }]) => recipe.conflicts.includes(other) || conflicts.includes(name)).map(([other]) => other)
  if (conflicting.length > 0) throw new RecipeError(`"${name}" does not go with ${listOf(conflicting)}, which this tree has. Remove ${listOf(conflicting)} first.`)
  present.set(name, { requires: recipe.requires, conflicts: recipe.conflicts, needs: packagesOf(recipe), isBuiltIn: recipe.builtIn !== undefined })

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
  plan.next = [...new Set([...plan.next, ...recipe.next])]
  const { text: others, taken } = withoutDependencies(packagesText(tree), recipe.replaces.dependencies)
  const { text, change } = withPackages(others, recipe)
  plan.packages.push(...named(change))
  changePackages(tree, text)
  if (recipe.builtIn) return
  ledger[name] = {
    requires: recipe.requires,
    ...isAutomatic ? { isAutomatic } : {},
    files: Object.fromEntries([...recipe.files].map(([path, text]) => [path, digest(text)])),
    edits: recipe.edits,
    needs: packagesOf(recipe),
    packages: change,
    ...Object.keys(taken).length === 0 ? {} : { replaced: taken }
  }
  tree.write(LEDGER, ledgerText(ledger))
}
