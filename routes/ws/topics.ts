import type { FastifyContextConfig, FastifyInstance } from 'fastify'
import { findOrder, visibleTo } from '../../services/orders.ts'
import { OrderEvent } from '../orders/schemas.ts'

type Topics = NonNullable<FastifyContextConfig['topics']>

const scopes = ['orders:read']
const event = OrderEvent

/** What clients of the WebSocket may follow. */
export function topicsOf (prisma: FastifyInstance['prisma']): Topics {
  return [
    {
      name: 'orders',
      description: 'What happens to one\'s own orders; with the scope orders:admin to those of everyone.',
      scopes,
      event,
      filter: user => ({ topic: 'order', ...owned(visibleTo(user)) })
    },
    {
      name: 'orders/{id}',
      description: 'What happens to one order.',
      parameters: { id: { pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$', description: 'The id of the order, in lower case' } },
      scopes,
      event,
      filter: async (user, { id = '' }) => {
        const { id: subject } = await findOrder(prisma, user, id)
        return { topic: 'order', ...owned(visibleTo(user)), subject }
      }
    }
  ]
}

function owned ({ userId }: { userId?: string }): { ownerId?: string } {
  return userId === undefined ? {} : { ownerId: userId }
}
