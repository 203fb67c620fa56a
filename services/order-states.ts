import type { OrderStatus, PrismaClient } from '../prisma/generated/client.ts'
import { inTransaction, type Database, type Deadline } from './database.ts'
import { DomainError } from './errors.ts'
import type { Origin } from './events.ts'
import { findOrderRow, orderChanged, toOrder, visibleTo, type Order, type OrderRow } from './orders.ts'
import type { Actor } from './scopes.ts'
import { returnStock } from './stock.ts'

/** The life of an order: pending, paid, shipped; cancelled from one of the first two. */
const steps = {
  pay: { from: ['pending'], to: 'paid' },
  ship: { from: ['paid'], to: 'shipped' },
  cancel: { from: ['pending', 'paid'], to: 'cancelled' }
} as const satisfies Record<string, { from: OrderStatus[], to: OrderStatus }>

export type Step = keyof typeof steps

/**
 * Takes an order that the actor may see a step on. A cancelled order's products
 * are back in stock.
 * @throws DomainError NOT_FOUND, INVALID_STATE
 */
export async function takeStep (prisma: PrismaClient, actor: Actor, id: string, step: Step, { deadline, origin }: { deadline?: Deadline, origin?: Origin } = {}): Promise<Order> {
  return await inTransaction(prisma, async tx => {
    const where = { id, ...visibleTo(actor) }
    const order = await advance(tx, where, step, origin)
    if (order !== undefined) return toOrder(order)
    const { status } = await findOrderRow(tx, where)
    throw new DomainError('INVALID_STATE', `The order is ${status}: to ${step} it, it must be ${steps[step].from.join(' or ')}.`)
  }, deadline)
}

/**
 * Cancels an order that is still pending, whoever's it is: its products are back in stock.
 * @returns whether it was; an order that has moved on, or is gone, is left alone
 */
export async function expireOrder (prisma: PrismaClient, id: string): Promise<boolean> {
  return await inTransaction(prisma, async tx => await advance(tx, { id, status: 'pending' }, 'cancel') !== undefined)
}

/** Takes the step and records it, if the order is there and in a state that the step leads from. */
async function advance (tx: Database, { status, ...where }: { id: string, userId?: string, status?: OrderStatus }, step: Step, origin?: Origin): Promise<OrderRow | undefined> {
  const { from, to } = steps[step]
  // The old state is a condition of the change: of two steps at once, one finds it gone.
  const { count } = await tx.order.updateMany({ where: { ...where, status: status ?? { in: [...from] } }, data: { status: to, version: { increment: 1 } } })
  if (count === 0) return undefined
  const order = await findOrderRow(tx, where)
  if (to === 'cancelled') await returnStock(tx, order.items)
  await orderChanged(tx, order, to, origin)
  return order
}
