import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { RecipeError } from './recipe.ts'

/** Changes to a checkout that are made together, and can be taken back. */
export class Tree {
  readonly #root: string
  readonly #changes = new Map<string, string | undefined>()
  /** Of what is moved, and of what is changed: a script stays one that can be run. */
  readonly #modes = new Map<string, number>()

  constructor (root: string) {
    this.#root = root
  }

  /** The text of a file with the changes so far; undefined where there is none. */
  read (path: string): string | undefined {
    return this.#changes.has(path) ? this.#changes.get(path) : this.#stored(path)
  }

  has (path: string): boolean {
    return existsSync(join(this.#root, path))
  }

  /** The files of the checkout under a path that ends in a slash, or that of the path, if there is one; sorted. */
  list (path: string): string[] {
    if (!this.has(path)) return []
    if (!path.endsWith('/')) return [path]
    const entries = readdirSync(join(this.#root, path), { recursive: true, withFileTypes: true })
    return entries.filter(entry => entry.isFile()).map(({ parentPath, name }) => relative(this.#root, join(parentPath, name))).sort()
  }

  /** @param text undefined removes the file */
  write (path: string, text: string | undefined): void {
    this.#changes.set(path, text)
  }

  /** Moves a file, if it is there. */
  move (from: string, to: string): void {
    const text = this.read(from)
    if (text === undefined) return
    this.write(to, text)
    this.write(from, undefined)
    if (this.has(from)) this.#modes.set(to, statSync(join(this.#root, from)).mode)
  }

  /** The paths of what is changed so far. */
  changed (): string[] {
    return [...this.#changes].filter(([path, text]) => this.#stored(path) !== text).map(([path]) => path).sort()
  }

  /**
   * Makes the changes. What it gives takes them back.
   * @throws RecipeError when one can't be made: then none is
   */
  apply (): () => void {
    const before = new Map([...this.#changes.keys()].map(path => [path, this.#stored(path)]))
    for (const path of before.keys()) if (this.has(path)) this.#modes.set(path, statSync(join(this.#root, path)).mode)
    try {
      this.#store(this.#changes)
    } catch (error) {
      this.#store(before)
      throw error
    }
    return () => this.#store(before)
  }

  #stored (path: string): string | undefined {
    try {
      return readFileSync(join(this.#root, path), 'utf8')
    } catch (error) {
      const { code = '', message } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      throw new RecipeError(`${path} can't be read: ${message}.`)
    }
  }

  #store (changes: Map<string, string | undefined>): void {
    for (const [path, text] of changes) {
      // Also what was never changed when all is taken back.
      if (this.#stored(path) === text) continue
      try {
        this.#put(path, text)
      } catch (error) {
        throw new RecipeError(`${path} can't be changed: ${(error as Error).message}. Nothing is: the tree is as it was.`)
      }
    }
  }

  #put (path: string, text: string | undefined): void {
    const file = join(this.#root, path)
    if (text === undefined) {
      rmSync(file, { force: true })
      this.#prune(dirname(path))
      return
    }
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
    const mode = this.#modes.get(path)
    if (mode !== undefined) chmodSync(file, mode)
  }

  /** Folders that are empty are none to git. */
  #prune (folder: string): void {
    const path = join(this.#root, folder)
    if (folder === '.' || !existsSync(path) || readdirSync(path).length > 0) return
    rmdirSync(path)
    this.#prune(dirname(folder))
  }
}
