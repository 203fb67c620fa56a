// Values that make a request meet something: what was seeded, and what answers gave since.
import fc, { type Arbitrary } from 'fast-check'

const pools = new Map<string, unknown[]>()
const KEPT = 50

/** Keeps a value for later requests; of many, the latest. */
export function remember (pool: string, ...values: unknown[]): void {
  pools.set(pool, [...pools.get(pool) ?? [], ...values].slice(-KEPT))
}

/** Something of a pool as it is when the request is made, the latest more often; while it is empty, undefined. */
export function known (pool: string): Arbitrary<unknown> {
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
    case 'id': return { pay: 'orders.pending', cancel: 'orders.pending', ship: 'orders.paid' }[step] ?? list
    // Those of one currency and with plenty in stock.
    case 'productId': return 'stocked'
    case 'cursor': return `${list}.cursors`
    case 'email': return path === '/auth/register' ? undefined : 'emails'
    case 'password': return 'passwords'
    case 'refreshToken': return 'refreshTokens'
    case 'code': return 'codes'
    case 'if-match':
    case 'if-none-match': return 'tags'
    default: return undefined
  }
}

/** Takes what an answer has to offer. */
export function learn (path: string, answer: unknown): void {
  if (typeof answer !== 'object' || answer === null) return
  const { id, status, refreshToken, nextCursor } = answer as Record<string, unknown>
  const list = path.split('/')[1] ?? ''
  if (typeof id === 'string') remember(list, id)
  if (typeof id === 'string' && typeof status === 'string') remember(`${list}.${status}`, id)
  if (typeof refreshToken === 'string') remember('refreshTokens', refreshToken)
  if (typeof nextCursor === 'string') remember(`${list}.cursors`, nextCursor)
}
