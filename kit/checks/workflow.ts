// The GitHub workflows by GitHub's own parser (structure, contexts, expressions); and every action by
// commit or major version, no more rights than needed, a time limit.
import { readdirSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parse } from 'yaml'
import { project, root, type Check } from './check.ts'

interface Parser {
  parseWorkflow: (file: { name: string, content: string }, trace: object) => { context: { errors: { getErrors: () => { message: string, prefix?: string }[] } }, value?: object }
  convertWorkflowTemplate: (context: object, value: object) => Promise<{ errors?: { Message: string }[] }>
}
interface Workflow { permissions?: unknown, jobs?: Record<string, { 'timeout-minutes'?: number, steps?: { uses?: string, with?: Record<string, unknown> }[] }> }

const folder = '.github/workflows'
let parser: Promise<Parser> | undefined

async function problems (text: string, file: string): Promise<string[]> {
  const { parseWorkflow, convertWorkflowTemplate } = await (parser ??= load())
  const { context, value } = parseWorkflow({ name: file, content: text }, { error () {}, info () {}, verbose () {} })
  if (value) await convertWorkflowTemplate(context, value)
  const found = context.errors.getErrors().map(({ message }) => message)
  const workflow = parse(text) as Workflow
  if (workflow.permissions === undefined) found.push('the workflow does not limit the rights of its token (permissions)')
  for (const [name, { steps = [], ...job }] of Object.entries(workflow.jobs ?? {})) {
    if (job['timeout-minutes'] === undefined) found.push(`${name}: has no timeout-minutes`)
    for (const { uses, with: { 'node-version': node } = {} } of steps) {
      if (uses !== undefined && !/^\.\/|@(v\d+|[0-9a-f]{40})$/.test(uses)) found.push(`${name}: ${uses} is not of a version`)
      if (node !== undefined && node !== project.dependencies.node) found.push(`${name}: Node ${String(node)} is not the one of package.json`)
    }
  }
  return found
}

/** The parser imports JSON as bundlers take it; Node wants it said. */
async function load (): Promise<Parser> {
  registerHooks({
    load: (url, context, next) => next(url, url.endsWith('.json') ? { ...context, importAttributes: { type: 'json' } } : context)
  })
  return await import(pathToFileURL(join(import.meta.dirname, 'node_modules/@actions/workflow-parser/dist/index.js')).href) as Parser
}

export default {
  name: 'workflows',
  files: readdirSync(join(root, folder)).map(name => `${folder}/${name}`),
  problems,
  refused: [{
    text: 'on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    setps: []\n    steps:\n      - uses: actions/checkout@main\n        with: { node-version: 24 }\n      - run: echo $' + '{{ sercets.TOKEN }}\n',
    says: [/setps/, /sercets/, /permissions/, /timeout-minutes/, /checkout@main/, /Node 24/]
  }]
} satisfies Check
