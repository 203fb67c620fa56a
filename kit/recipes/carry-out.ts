import { spawn, type ChildProcess } from 'node:child_process'
import { isOf } from './concerns.ts'
import { LEDGER } from './ledger.ts'
import type { Plan } from './plan.ts'
import { RecipeError } from './recipe.ts'

/** What is made from the tree, and the scripts that make it. */
export const GENERATED = ['.env.example', 'README.md', 'openapi.json', 'asyncapi.json', 'client/schema.d.ts']
const GENERATORS = ['config:docs', 'openapi', 'client']
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const

/** What is written with the files and edits of a plan that is not made yet: npm's files, the ledger, what is generated. */
export function writtenWith ({ isDone, tree, packages, edits }: Plan): string[] {
  if (isDone) return []
  const own = tree.changed().filter(path => isOf(path, ['package.json', LEDGER]))
  return [...own, ...packages.length > 0 ? ['package-lock.json'] : [], ...GENERATED.filter(path => tree.has(path) && !edits.includes(path))]
}

/**
 * Makes the changes of a plan: the files, npm's part, what is generated. When one fails, or at Ctrl-C, the tree is
 * what it was before.
 * @param say is told what takes its time
 * @throws RecipeError when a file can't be changed, or npm or a generator fails
 */
export async function carryOut (root: string, plan: Plan, say: (text: string) => void): Promise<void> {
  for (const path of GENERATED) if (plan.tree.has(path)) plan.tree.write(path, plan.tree.read(path))
  let child: ChildProcess | undefined
  let signal: NodeJS.Signals | undefined
  const stop = (name: NodeJS.Signals) => {
    signal = name
    // npm passes these two on to what it runs.
    child?.kill(name === 'SIGINT' ? name : 'SIGTERM')
  }

  async function npm (args: string[], problem: string): Promise<void> {
    if (signal) throw new RecipeError(`Stopped by ${signal}.`)
    let output = ''
    child = spawn('npm', args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', chunk => { output += String(chunk) })
    const code = await new Promise<number | null>(resolve => child?.once('error', error => { output += error.message; resolve(null) }).once('close', resolve))
    if (signal) throw new RecipeError(`Stopped by ${signal}.`)
    if (code !== 0) throw new RecipeError(`${problem}\n${output.trim()}`)
  }

  const stays = plan.action === 'add' ? '' : `Something of yours needs what goes with ${plan.name}: delete it, or make it do without, and remove ${plan.name} again.\n${plan.with.map(other => `  goes with it: ${other}, unless you keep it by \`npm run kit -- add ${other}\`\n`).join('')}${plan.left.map(line => `  stays: ${line}\n`).join('')}`
  const undo = plan.tree.apply()
  for (const name of SIGNALS) process.on(name, stop)
  try {
    if (plan.packages.length > 0) {
      say(`npm ${plan.action === 'add' ? 'installs' : 'removes'} ${plan.packages.join(', ')} …`)
      await npm(['install', '--no-audit', '--no-fund', '--loglevel=error'], `npm could not ${plan.action === 'add' ? 'install' : 'remove'} ${plan.packages.join(', ')}:`)
    }
    say('Generating what is generated …')
    for (const script of GENERATORS) await npm(['run', '--silent', script], `${stays}npm run ${script} failed:`)
  } catch (error) {
    undo()
    throw error instanceof RecipeError ? new RecipeError(`${error.message}\n\nThe tree is as it was. What node_modules has too much, \`npm ci\` takes away.`) : error
  } finally {
    for (const name of SIGNALS) process.off(name, stop)
  }
}
