// Requests generated from openapi.json: FUZZ_REQUESTS of them, from FUZZ_SEED.
import { randomInt } from 'node:crypto'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import fc from 'fast-check'
import t from 'tap'
import { bearer, buildApp, injectStream } from '../helpers/app.ts'
import { operationsOf, type Line } from '../operations.ts'
import { document, operations, type Operation } from './document.ts'
import { learn, learnRequest, remember } from './known.ts'
import { requestsFor, type Caller, type Generated } from './requests.ts'

const count = Number(process.env.FUZZ_REQUESTS ?? 500)
const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 31))
/** Whose success is looked for elsewhere. */
const ELSEWHERE = new Set<string>()
// It would end the sessions that the others need: test/routes/sessions.test.ts.
for (const name of ['endOwnSession', 'changeOwnPassword']) ELSEWHERE.add(name)
// It is no HTTP: test/plugins/websocket-topics.test.ts.
ELSEWHERE.add('openSocket')
/** Requests of each operation that are made ready. */
const PREPARED = 5
// An answer in 0.1 s on average would be slow; hashing passwords takes its time.
t.setTimeout(60_000 + count * 100)

// Wrong passwords are part of the game.
const app = await buildApp(t, { LOGIN_FAILURES_MAX: 1_000_000 })
const { owner, admin, table } = await operationsOf(app)
const tokens: Record<Caller, string | undefined> = { admin: admin.token, user: owner.token, nobody: undefined, garbage: 'e30.e30.e30' }
await prepare(table)
const ajv = new Ajv2020({ strict: false })
formats.default(ajv)
ajv.addSchema(document, 'openapi.json')

t.test(`${count} requests generated from openapi.json; to repeat them: FUZZ_SEED=${seed}`, async (t) => {
  const arbitraries = operations.map(requestsFor)
  const seen = new Map(operations.map(operation => [operation, new Map<number, number>()]))
  const failures: string[] = []
  // Some more, if chance has not let every operation succeed yet.
  const isDone = () => [...seen].every(([{ operationId }, statuses]) => ELSEWHERE.has(operationId) || [...statuses.keys()].some(isSuccess))
  for (let i = 0; i < count || (i < 4 * count && !isDone()); i++) {
    const [request] = fc.sample(arbitraries[i % arbitraries.length]!, { seed: (seed + i) | 0, numRuns: 1 })
    const { status, body } = await send(request!)
    const statuses = seen.get(request!.operation)!
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
    const failure = judge(request!, status, body)
    if (failure) failures.push(`${failure}: ${describe(request!)} → ${status} ${JSON.stringify(body)?.slice(0, 300)}`)
  }
  t.same(failures.slice(0, 20), [], `FUZZ_SEED=${seed}: no 5xx, no undeclared status, nothing taken that does not fit`)
  for (const [{ operationId }, statuses] of seen) {
    const said = [...statuses].sort().map(([status, times]) => `${status}×${times}`).join(' ')
    t.comment(`${operationId}: ${said}`)
    if (!ELSEWHERE.has(operationId)) t.ok([...statuses.keys()].some(isSuccess), `FUZZ_SEED=${seed}: ${operationId} succeeded at least once (${said})`)
  }
})

/** 304 says that it would have been 200 (RFC 9110, section 15.4.5). */
function isSuccess (status: number): boolean {
  return (status >= 200 && status < 300) || status === 304
}

/** What should not have been answered so. Bodies and headers of answers are buildApp's to check. */
function judge ({ operation, body, fault, caller }: Generated, status: number, answer: unknown): string | undefined {
  if (status >= 500) return 'the service failed'
  if (!operation.responses[status]) return 'the status is not declared'
  const succeeded = status < 300
  if (succeeded && fault === 'bytes') return 'a body that cannot be read was taken'
  if (succeeded && body !== undefined && !fits(operation, body)) return 'a body that does not fit was taken'
  const refused = (answer as { code?: string } | undefined)?.code === 'VALIDATION_FAILED'
  if (refused && fault === 'nothing' && caller !== 'nobody') return 'what fits was refused'
  return undefined
}

function fits ({ path, method, requestBody }: Operation, body: unknown): boolean {
  const type = Object.keys(requestBody?.content ?? {})[0] ?? ''
  const at = ['paths', path, method.toLowerCase(), 'requestBody', 'content', type, 'schema'].map(name => encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1')))
  return ajv.validate(`openapi.json#/${at.join('/')}`, body)
}

async function send ({ operation, caller, url, headers, payload }: Generated): Promise<{ status: number, body: unknown }> {
  const token = tokens[caller]
  const response = await injectStream(app, { method: operation.method as 'GET', url, headers: { ...headers, ...token === undefined ? {} : bearer(token) }, payload })
  const isJson = /json/.test(String(response.headers['content-type'] ?? '')) && response.body !== ''
  const body: unknown = isJson ? JSON.parse(response.body) : undefined
  if (response.statusCode < 300) learn(operation.path, body)
  return { status: response.statusCode, body }
}

function describe ({ operation, fault, caller, url, headers, payload }: Generated): string {
  return `${operation.operationId} by ${caller}, wrong: ${fault}: ${operation.method} ${url.slice(0, 300)} ${JSON.stringify(headers).slice(0, 300)} ${String(payload).slice(0, 300)}`
}

/** Things to meet: some requests of each operation that would succeed are made ready, and not sent. */
async function prepare (table: Record<string, Line>): Promise<void> {
  remember('tags', '*', '"1"')
  for (const { method, path } of operations) {
    const line = table[`${method} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`]
    if (!line) continue
    for (let i = 0; i < PREPARED; i++) learnRequest(path, await parametersOf(path, line), await line.payload?.())
  }
}

/** What a line has in the place of the parameters of its path. */
async function parametersOf (path: string, line: Line): Promise<Record<string, string>> {
  if (line.path === undefined) return line.id ? { id: await line.id() } : {}
  return { ...new RegExp(`^${path.replaceAll(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`).exec(line.path)?.groups }
}
