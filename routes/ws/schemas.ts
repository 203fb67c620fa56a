import { Type } from 'typebox'
import { Order } from '../orders/schemas.ts'
import { Id, Timestamp, oneOf, ref } from '../schemas.ts'

/** What happened to an order. */
export const OrderEvent = Type.Object({
  id: Type.String({ maxLength: 18, pattern: '^[0-9]{1,18}$', description: 'Grows from event to event' }),
  type: oneOf(['order.created', 'order.paid', 'order.shipped', 'order.cancelled'], { description: 'What happened' }),
  orderId: Id('The order'),
  at: Timestamp('When it happened'),
  order: ref(Order)
}, { $id: 'OrderEvent', description: 'What happened to an order, and what it is since', additionalProperties: false })

export const Ticket = Type.Object({
  ticket: Type.String({ minLength: 43, maxLength: 43, pattern: '^[A-Za-z0-9_-]{43}$', description: 'Opens one WebSocket: as the subprotocol `ticket.<ticket>` beside `keel.v1`, or as `?ticket=`' }),
  expiresIn: Type.Integer({ minimum: 1, maximum: 3600, format: 'int32', description: 'Seconds in which it must be used' })
}, { $id: 'Ticket', description: 'A ticket for a WebSocket', examples: [{ ticket: 'u1Ql0KFuCJXn0hM6kFZbWb1yQ2hS3u8mJb0l5rB0hXk', expiresIn: 30 }] })
