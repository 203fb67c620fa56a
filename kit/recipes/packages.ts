// package.json, as npm writes it.
import { jsonText } from '../json.ts'
import { RecipeError, type Recipe } from './recipe.ts'
import type { Tree } from './tree.ts'

const PACKAGE = 'package.json'
const LOCK = 'package-lock.json'

type Versions = Record<string, string>
interface Package { dependencies: Versions, devDependencies: Versions, scripts: Record<string, string> }

/** What a recipe changed in package.json: the packages that it brought, those that it made ones of production, its scripts. */
export interface PackageChange { dependencies: Versions, devDependencies: Versions, promoted: Versions, scripts: Record<string, string> }

/** package.json with what a recipe needs. @throws RecipeError when another version of a package, or another script, is there */
export function withPackages (text: string, { name, dependencies, devDependencies, scripts }: Pick<Recipe, 'name' | 'dependencies' | 'devDependencies' | 'scripts'>): { text: string, change: PackageChange } {
  const content = read(text)
  const all = { ...content.devDependencies, ...content.dependencies }
  for (const [wanted, version] of Object.entries({ ...dependencies, ...devDependencies })) {
    const present = all[wanted]
    if (present !== undefined && present !== version) throw new RecipeError(`"${name}" needs ${wanted} ${version}, and ${PACKAGE} has ${present}. Make them the same first.`)
  }
  for (const [script, command] of Object.entries(scripts)) {
    const present = content.scripts[script]
    if (present !== undefined && present !== command) throw new RecipeError(`"${name}" has a script "${script}", and ${PACKAGE} has another of that name. Rename yours first.`)
  }
  const change = {
    dependencies: pick(dependencies, wanted => all[wanted] === undefined),
    devDependencies: pick(devDependencies, wanted => all[wanted] === undefined),
    promoted: pick(dependencies, wanted => content.dependencies[wanted] === undefined && content.devDependencies[wanted] !== undefined),
    scripts: pick(scripts, script => content.scripts[script] === undefined)
  }
  return {
    text: written(content, {
      dependencies: { ...content.dependencies, ...change.dependencies, ...change.promoted },
      devDependencies: { ...pick(content.devDependencies, wanted => change.promoted[wanted] === undefined), ...change.devDependencies },
      scripts: { ...content.scripts, ...change.scripts }
    }),
    change
  }
}

/** package.json without what a recipe changed, where the versions are still the same. */
export function withoutPackages (text: string, { dependencies, devDependencies, promoted, scripts }: PackageChange): string {
  const content = read(text)
  const isStill = (versions: Versions, [name, version]: [string, string]) => versions[name] === version
  const demoted = Object.fromEntries(Object.entries(promoted).filter(entry => isStill(content.dependencies, entry)))
  return written(content, {
    dependencies: Object.fromEntries(Object.entries(content.dependencies).filter(entry => !isStill({ ...dependencies, ...demoted }, entry))),
    devDependencies: { ...Object.fromEntries(Object.entries(content.devDependencies).filter(entry => !isStill(devDependencies, entry))), ...demoted },
    scripts: Object.fromEntries(Object.entries(content.scripts).filter(entry => !isStill(scripts, entry)))
  })
}

/** package.json without some dependencies, and which they were. */
export function withoutDependencies (text: string, names: string[]): { text: string, taken: Versions } {
  const content = read(text)
  return { text: written(content, { ...content, dependencies: pick(content.dependencies, name => !names.includes(name)) }), taken: pick(content.dependencies, name => names.includes(name)) }
}

/** package.json with dependencies that were taken out. */
export function withDependencies (text: string, versions: Versions): string {
  const content = read(text)
  return written(content, { ...content, dependencies: { ...versions, ...content.dependencies } })
}

/** The text of package.json. */
export function packagesText (tree: Tree): string {
  return tree.read(PACKAGE) ?? '{}'
}

/** Writes package.json. npm changes the lockfile: it is among what is taken back when that fails. */
export function changePackages (tree: Tree, text: string): void {
  if (text === tree.read(PACKAGE)) return
  tree.write(PACKAGE, text)
  tree.write(LOCK, tree.read(LOCK))
}

function read (text: string): Package & object {
  const content = JSON.parse(text) as Partial<Package>
  // Where it has them, they stay where they are.
  return Object.assign(content, { dependencies: content.dependencies ?? {}, devDependencies: content.devDependencies ?? {}, scripts: content.scripts ?? {} })
}

function pick (versions: Versions, filter: (name: string) => boolean): Versions {
  return Object.fromEntries(Object.entries(versions).filter(([name]) => filter(name)))
}

function written (content: object, versions: Package): string {
  const sorted = (versions: Versions) => Object.fromEntries(Object.entries(versions).sort(([a], [b]) => a < b ? -1 : 1))
  return jsonText({ ...content, scripts: versions.scripts, dependencies: sorted(versions.dependencies), devDependencies: sorted(versions.devDependencies) })
}
