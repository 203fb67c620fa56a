// Values that make a request meet something: those of requests that succeed (test/operations.ts), and what answers gave since.
import fc, { type Arbitrary } from 'fast-check'

const pools = new Map<string, unknown[]>()
const KEPT = 50

/** Keeps a value for later requests; of many, the latest. */
export function remember (pool: string, ...values: unknown[]): void {
  pools.set(pool, [...pools.get(pool) ?? [], ...values].slice(-KEPT))
}

/**
 * Something of a pool as it is when the request is made, the latest more often; while it is empty, undefined. What is
 * ready for a step of a resource is a pool of its own, `list step`: now and then it is any other of the list.
 */
export function known (pool: string): Arbitrary<unknown> {
  const [list = '', step] = pool.split(' ')
  return step === undefined ? oneOf(pool) : fc.oneof({ weight: 9, arbitrary: oneOf(pool) }, { weight: 1, arbitrary: oneOf(list) })
}

function oneOf (pool: string): Arbitrary<unknown> {
  return fc.tuple(fc.nat(KEPT - 1), fc.boolean()).map(([back, latest]) => {
    const values = pools.get(pool) ?? []
    return values.at(-1 - (latest ? back % 3 : back) % Math.max(values.length, 1))
  })
}

/** The pool that has values for a place of the document: a parameter or a field of a body. */
export function poolFor (path: string, name: string): string | undefined {
  const list = path.split('/')[1] ?? ''
  const step = path.split('/')[3] ?? ''
  switch (name) {
    case 'id': return step === '' ? list : `${list} ${step}`
    // Of this very list: sessions are under users, too.
    case 'cursor': return `${path}.cursors`
    case 'email': return path === '/auth/register' ? undefined : 'emails'
    case 'password': return 'passwords'
    case 'refreshToken': return 'refreshTokens'
    case 'if-match':
    case 'if-none-match': return 'tags'
    default: return name.endsWith('Id') || path.includes(`{${name}}`) ? `${list}.${name}` : undefined
  }
}

/** Takes what a request that would succeed has in its path and its body. */
export function learnRequest (path: string, parameters: Record<string, string>, body: unknown): void {
  for (const [name, value] of Object.entries(parameters)) offer(path, name, value)
  learnFields(path, body)
}

function learnFields (path: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  for (const [name, field] of Object.entries(value)) {
    if (typeof field === 'object') learnFields(path, field)
    else offer(path, name, field)
  }
}

function offer (path: string, name: string, value: unknown): void {
  const pool = poolFor(path, name)
  if (pool !== undefined) remember(pool, value)
}

/** Takes what an answer has to offer. */
export function learn (path: string, answer: unknown): void {
  if (typeof answer !== 'object' || answer === null) return
  const { id, refreshToken, nextCursor } = answer as Record<string, unknown>
  const list = path.split('/')[1] ?? ''
  if (typeof id === 'string') remember(list, id)
  if (typeof refreshToken === 'string') remember('refreshTokens', refreshToken)
  if (typeof nextCursor === 'string') remember(`${path}.cursors`, nextCursor)
}
