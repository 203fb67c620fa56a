// `add`, `remove` and `list`: what not every service needs.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { Command } from 'commander'
import { jsonText } from '../json.ts'
import type { Plan } from '../recipes/plan.ts'

const root = join(import.meta.dirname, '../..')

interface Options { dryRun?: boolean, json?: boolean, force?: boolean }

export const add = changing('add', 'add a recipe: its files, dependencies, settings, docs and tests')
export const remove = changing('remove', 'undo what adding a recipe did; what you changed since stays')

export const list = new Command('list')
  .description('list the recipes, and which of them this tree has')
  .option('--json', 'as JSON, for programs')
  .action(async ({ json }: { json?: boolean }) => await reporting(json, async () => {
    const [{ readManifest, recipeNames }, { presentIn }] = await Promise.all([import('../recipes/recipe.ts'), import('../recipes/present.ts')])
    const present = presentIn(root)
    const recipes = recipeNames(root).map(name => readManifest(root, name)).map(({ name, description, builtIn }) => ({ name, added: present.has(name), builtIn: builtIn !== undefined, description }))
    const width = Math.max(...recipes.map(({ name }) => name.length))
    const text = recipes.map(({ name, added, description }) => `${added ? '*' : ' '} ${name.padEnd(width)}  ${description}\n`).join('')
    process.stdout.write(json ? jsonText(recipes) : `${text}\n* is in this tree\n`)
  }))

function changing (action: 'add' | 'remove', description: string): Command {
  return new Command(action)
    .description(description)
    .argument('<name>', 'of the recipe: `list` has them')
    .option('--dry-run', 'say what would change, and change nothing')
    .option('--force', 'also in a tree with changes that are not committed')
    .option('--json', 'as JSON, for programs')
    .action(async (name: string, { dryRun = false, json, force = false }: Options) => await reporting(json, async () => {
      const [{ packagesAdded }, { planAdd }, { planRemove }, { carryOut, writtenWith }, { lock, unfinished }] = await Promise.all([import('../recipes/plan.ts'), import('../recipes/plan-add.ts'), import('../recipes/plan-remove.ts'), import('../recipes/carry-out.ts'), import('../recipes/lock.ts')])
      const makePlan = () => (action === 'add' ? planAdd : planRemove)(root, name)
      const report = ({ tree, ...plan }: Plan, written: string[]) => {
        const said = { ...plan, written, dryRun }
        process.stdout.write(json ? jsonText(said) : textOf(said))
      }
      if (dryRun) {
        const plan = makePlan()
        return report(plan, writtenWith(plan))
      }
      const killed = unfinished(root)
      if (!force) await refuseDirty(killed)
      const release = lock(root, { action, name })
      try {
        const found = makePlan()
        // Of one that was killed the files may be there, and neither packages nor what is generated.
        const plan = found.isDone && killed !== undefined && force ? { ...found, isDone: false, packages: packagesAdded(root, name) } : found
        const written = writtenWith(plan)
        if (!plan.isDone) await carryOut(root, plan, text => process.stderr.write(`${text}\n`))
        report(plan, written)
      } finally {
        release()
      }
    }))
}

/** So that what the command does can be told from what was there, and be undone by git. */
async function refuseDirty (killed: { action: string, name: string } | undefined): Promise<void> {
  const { RecipeError } = await import('../recipes/recipe.ts')
  let status: string
  try {
    status = execFileSync('git', ['status', '--porcelain'], { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch {
    throw new RecipeError('This is no git checkout, so the changes could not be told from yours. --force makes them all the same.')
  }
  const halfWay = killed && `\`${killed.action} ${killed.name}\` was killed half-way, and what it did is among them: \`npm run kit -- ${killed.action} ${killed.name} --force\` goes on, \`git stash -u\` puts all of them aside.`
  if (status !== '') throw new RecipeError(`There are changes that are not committed:\n${status}${halfWay ?? 'Commit or stash them, or use --force.'}`)
}

/** Problems that have a name are said without a stack: as text, or as JSON. */
async function reporting (json: boolean | undefined, run: () => Promise<void>): Promise<void> {
  try {
    await run()
  } catch (error) {
    if ((error as Error).name !== 'RecipeError') throw error
    const { message } = error as Error
    if (json) process.stdout.write(jsonText({ error: message }))
    else process.stderr.write(`${message}\n`)
    process.exitCode = 1
  }
}

function textOf ({ action, name, with: others, isDone, files, edits, packages, written, next, left, dryRun }: Omit<Plan, 'tree'> & { written: string[], dryRun: boolean }): string {
  if (isDone) return `${name} is ${action === 'add' ? 'there already' : 'not there'}: nothing to do.\n`
  const verb = { add: 'Added', remove: 'Removed' }[action]
  const block = (title: string, lines: string[]) => lines.length === 0 ? '' : `${title}\n${lines.map(line => `  ${line}\n`).join('')}`
  const all = others.length === 0 ? name : `${name}, and ${others.join(', ')}, which ${action === 'add' ? 'it needs' : 'nothing needs any more'}`
  return (dryRun ? `Would ${action} ${all}:\n` : `${verb} ${all}:\n`) +
    block('files', files) + block('edits', edits) + block('packages', packages) + block('written with them', written) + block('left, to be seen to by hand', left) + block('next', next)
}
