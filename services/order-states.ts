import type { OrderStatus, PrismaClient } from '../prisma/generated/client.ts'
import { inTransaction } from './database.ts'
import { DomainError } from './errors.ts'
import { findOrder, visibleTo, type Order } from './orders.ts'
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
export async function takeStep (prisma: PrismaClient, actor: Actor, id: string, step: Step): Promise<Order> {
  const { from, to } = steps[step]
  return await inTransaction(prisma, async tx => {
    // The old state is a condition of the change: of two steps at once, one finds it gone.
    const { count } = await tx.order.updateMany({
      where: { id, ...visibleTo(actor), status: { in: [...from] } },
      data: { status: to, version: { increment: 1 } }
    })
    const order = await findOrder(tx, actor, id)
    if (count === 0) throw new DomainError('INVALID_STATE', `The order is ${order.status}: to ${step} it, it must be ${from.join(' or ')}.`)
    if (to === 'cancelled') await returnStock(tx, order.items)
    return order
  })
}

/**
 * Cancels an order that is still pending, whoever's it is: its products are back in stock.
 * @returns whether it was; an order that has moved on, or is gone, is left alone
 */
export async function expireOrder (prisma: PrismaClient, id: string): Promise<boolean> {
  return await inTransaction(prisma, async tx => {
    const { count } = await tx.order.updateMany({ where: { id, status: 'pending' }, data: { status: steps.cancel.to, version: { increment: 1 } } })
    if (count === 0) return false
    await returnStock(tx, await tx.orderItem.findMany({ where: { orderId: id }, select: { productId: true, quantity: true } }))
    return true
  })
}
