// Tries recipes as a fork would: `node kit/recipe-check.ts [NAME …] [--one] [--full]`, NAME a recipe or `together`, which is
// all that go together. In a clone of what is committed: add, lint, types, nothing unused, tests, remove; then the clone must
// be as it was, to the byte. A concern of the kit is removed first, and added then; what it needs, or what needs it, goes
// with it, and what a recipe does not go with is out meanwhile. --one takes one recipe, another with each commit; --full
// runs all tests and not only those that it brings or changes and those that look at every route.
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { presentIn, withNeeded, withNeeding } from './recipes/present.ts'
import { readManifest, readRecipe, recipeNames } from './recipes/recipe.ts'

const TOGETHER = 'together'
/** What looks at all routes, settings, metrics and files. */
const GENERAL = ['test/authorization.test.ts', 'test/plugins/config.test.ts', 'test/plugins/docs.test.ts', 'test/plugins/metrics-files.test.ts', 'test/kit/recipes.test.ts']

interface Step { action: 'add' | 'remove', name: string }

const root = join(import.meta.dirname, '..')
const options = process.argv.slice(2)
const isFull = options.includes('--full')
const given = options.filter(option => !option.startsWith('--'))
const all = given.length > 0 ? given : [...recipeNames(root), ...options.includes('--one') ? [] : [TOGETHER]]
const turn = Number(execFileSync('git', ['rev-list', '--count', 'HEAD'], { cwd: root, encoding: 'utf8' }))
const chosen = options.includes('--one') ? all.slice(turn % all.length).slice(0, 1) : all

for (const name of chosen) {
  const folder = mkdtempSync(join(tmpdir(), `keel-${name}-`))
  try {
    process.stdout.write(`${name} …\n`)
    const isRemoval = name !== TOGETHER && readManifest(root, name).builtIn !== undefined
    if (name === TOGETHER) check(folder, compatible().map(adding), compatible())
    else if (isRemoval) check(folder, withNeeding(root, name).map(removing), withNeeding(root, name))
    else check(folder, [...inTheWayOf(name).map(removing), adding(name)], withNeeded(root, name))
    process.stdout.write(`ok: ${name}\n`)
  } catch (error) {
    process.stdout.write(`FAILED: ${name}: ${(error as Error).message}\n`)
    process.exitCode = 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** @param tried those whose tests are run */
function check (folder: string, steps: Step[], tried: string[]): void {
  const run = (command: string, ...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, encoding: 'utf8', maxBuffer: 2 ** 30 })
    if (status !== 0) throw new Error(`${command} ${args.join(' ')}\n${stdout}${stderr}`)
    return stdout
  }
  const kit = (...args: string[]) => run('npm', 'run', '--silent', 'kit', '--', ...args, '--force')
  run('git', 'clone', '-q', root, '.')
  for (const installed of ['node_modules', 'kit/checks/node_modules'].filter(path => existsSync(join(root, path)))) {
    cpSync(join(root, installed), join(folder, installed), { recursive: true, verbatimSymlinks: true })
  }
  for (const { action, name } of steps) kit(action, name)
  const changed = tried.map(name => readRecipe(root, name)).flatMap(({ files, edits, tests }) => [...files.keys(), ...edits.map(({ file }) => file), ...tests])
  const tests = [...changed, ...GENERAL].filter(path => path.endsWith('.test.ts') && existsSync(join(folder, path)))
  run('npm', 'run', '--silent', 'lint')
  run('npm', 'run', '--silent', 'typecheck')
  run('npm', 'run', '--silent', 'unused')
  run('npm', 'test', '--', '--reporter=tap', ...isFull ? [] : new Set(tests))
  for (const { action, name } of steps.toReversed()) kit(action === 'add' ? 'remove' : 'add', name)
  const left = run('git', 'status', '--porcelain')
  if (left !== '') throw new Error(`to undo it left changes:\n${left}${run('git', 'diff')}`)
}

function adding (name: string): Step {
  return { action: 'add', name }
}

function removing (name: string): Step {
  return { action: 'remove', name }
}

/** The concerns of the kit that a recipe, or one that it needs, does not go with, and before each those that need it. */
function inTheWayOf (name: string): string[] {
  const conflicts = new Set(withNeeded(root, name).flatMap(one => readManifest(root, one).conflicts))
  return [...new Set([...presentIn(root)].filter(([other, { isBuiltIn }]) => isBuiltIn && conflicts.has(other)).flatMap(([other]) => withNeeding(root, other)))]
}

/** The recipes that are not there and go together, and with the kit as it is: of two that do not, the first. */
function compatible (): string[] {
  const together: string[] = []
  for (const name of recipeNames(root).filter(name => readManifest(root, name).builtIn === undefined)) {
    if (inTheWayOf(name).length > 0) continue
    const wanted = withNeeded(root, name).filter(other => !together.includes(other))
    const conflicts = (a: string, b: string) => readManifest(root, a).conflicts.includes(b) || readManifest(root, b).conflicts.includes(a)
    if (!wanted.some(one => together.some(other => conflicts(one, other)))) together.push(...wanted)
  }
  return together
}
