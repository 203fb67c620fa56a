// One command changes the tree at a time; and of one that was killed the next one knows.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { RecipeError } from './recipe.ts'

const LOCK = '.data/recipes.lock'

/** Who changes the tree. */
interface Holder { pid: number, action: 'add' | 'remove', name: string }

/**
 * The command that was killed while it changed the tree, if there is one.
 * @throws RecipeError while one is at it
 */
export function unfinished (root: string): Holder | undefined {
  const holder = read(root)
  if (holder === undefined || !isAlive(holder.pid)) return holder
  throw new RecipeError(`\`${holder.action} ${holder.name}\` is under way (process ${holder.pid}): wait for its end.`)
}

/**
 * Keeps others from changing the tree until what it gives is called.
 * @throws RecipeError while one is at it
 */
export function lock (root: string, holder: Omit<Holder, 'pid'>): () => void {
  const path = join(root, LOCK)
  unfinished(root)
  rmSync(path, { force: true })
  mkdirSync(dirname(path), { recursive: true })
  try {
    writeFileSync(path, JSON.stringify({ pid: process.pid, ...holder }), { flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new RecipeError('Another recipe is being added or removed: wait for its end.')
  }
  return () => rmSync(path, { force: true })
}

function read (root: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(join(root, LOCK), 'utf8')) as Holder
  } catch {
    // None, or one that was killed as it wrote it, before it changed anything.
    return undefined
  }
}

function isAlive (pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
