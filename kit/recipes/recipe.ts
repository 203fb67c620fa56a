// What a recipe is: a folder of recipes/ with recipe.json, README.md, and files/ laid out as in the tree. A concern that
// the kit has from the beginning is one that is there already: its files/ are made when it is removed.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Type, type Static } from 'typebox'
import { Compile } from 'typebox/compile'

/** Said to the user as it is. */
export class RecipeError extends Error {
  override name = 'RecipeError'
}

/** Names as a sentence has them: a, b and c. */
export function listOf (names: string[]): string {
  return new Intl.ListFormat('en-GB').format(names)
}

const Versions = Type.Record(Type.String({ pattern: '^(@[a-z0-9-]+/)?[a-z0-9.-]+$' }), Type.String({ pattern: '^\\d+\\.\\d+\\.\\d+$' }))
/** Below the root of the checkout. */
const Path = Type.String({ pattern: '^(?!/)(?!(.*/)?\\.\\.(/|$)).+$' })
const Names = Type.Array(Type.String())

const Lines = Type.Array(Type.String(), { minItems: 1 })

const Edit = Type.Union([
  /** Lines that go above an anchor. */
  Type.Object({ file: Path, anchor: Type.String({ pattern: '^[a-z-]+$' }), lines: Lines }, { additionalProperties: false }),
  /** Lines that a file has with the recipe, and those that it has without it. */
  Type.Object({ file: Path, with: Lines, without: Lines }, { additionalProperties: false })
])

const RecipeFile = Type.Object({
  description: Type.String({ minLength: 1, maxLength: 200 }),
  requires: Type.Optional(Names),
  conflicts: Type.Optional(Names),
  dependencies: Type.Optional(Versions),
  devDependencies: Type.Optional(Versions),
  /** Of package.json: what `npm run NAME` does. */
  scripts: Type.Optional(Type.Record(Type.String({ pattern: '^[a-z0-9:-]+$' }), Type.String({ minLength: 1 }))),
  edits: Type.Optional(Type.Array(Edit)),
  /** Of a concern of the kit: its files, and folders that end in a slash. */
  builtIn: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
  /** What of the kit it takes the place of: files, folders that end in a slash, and packages. */
  replaces: Type.Optional(Type.Object({ paths: Names, dependencies: Names }, { additionalProperties: false })),
  /** Tests of the kit that say whether it does as well as what it replaces. */
  tests: Type.Optional(Names),
  /** What the user has to set or do next, a line each. */
  next: Type.Optional(Names),
  /** The same when it was taken out. */
  nextWithout: Type.Optional(Names)
}, { additionalProperties: false })

const validator = Compile(RecipeFile)

export type RecipeEdit = Static<typeof Edit>

type Content = Static<typeof RecipeFile>

/** What recipe.json says. */
export interface Manifest extends Required<Omit<Content, 'builtIn'>>, Pick<Content, 'builtIn'> {
  name: string
}

export interface Recipe extends Manifest {
  /** What it brings, or was when it was taken out: the text of each file, by its path in the tree. */
  files: Map<string, string>
}

/** The names of the recipes that a checkout has, sorted. */
export function recipeNames (root: string): string[] {
  const folder = join(root, 'recipes')
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true }).filter(entry => entry.isDirectory()).map(({ name }) => name).sort()
}

/**
 * Reads a recipe with its files.
 * @throws RecipeError when there is none of that name, or it is not well-formed
 */
export function readRecipe (root: string, name: string): Recipe {
  return { ...readManifest(root, name), files: filesOf(join(root, 'recipes', name, 'files')) }
}

/** Reads recipe.json. @throws RecipeError as `readRecipe` does */
export function readManifest (root: string, name: string): Manifest {
  const names = recipeNames(root)
  if (!names.includes(name)) throw new RecipeError(`There is no recipe "${name}". There are: ${names.join(', ') || 'none'}.`)
  const path = `recipes/${name}/recipe.json`
  let value: unknown
  try {
    value = JSON.parse(readFileSync(join(root, path), 'utf8'))
  } catch (error) {
    throw new RecipeError(`${path} can't be read: ${(error as Error).message}`)
  }
  if (!validator.Check(value)) {
    throw new RecipeError(`${path} is not a recipe: ${validator.Errors(value).map(({ instancePath, message }) => `${instancePath || '/'} ${message}`).join('; ')}`)
  }
  return { name, requires: [], conflicts: [], dependencies: {}, devDependencies: {}, scripts: {}, edits: [], replaces: { paths: [], dependencies: [] }, tests: [], next: [], nextWithout: [], ...value }
}

function filesOf (folder: string): Map<string, string> {
  if (!existsSync(folder)) return new Map()
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
  const paths = entries.map(({ parentPath, name }) => join(parentPath, name)).sort()
  return new Map(paths.map(path => [path.slice(folder.length + 1), readFileSync(path, 'utf8')]))
}
