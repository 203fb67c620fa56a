import { Type } from 'typebox'
import { position } from '../http/events.ts'
import { Money, Product } from '../products/schemas.ts'
import { Id, Timestamp, oneOf, pageOf, ref } from '../schemas.ts'

const { sku, name } = Product.properties
const productId = Id('The product')
const quantity = Type.Integer({ minimum: 1, maximum: 1000, format: 'int32', description: 'How many of it' })
const MAX_ITEMS = 100
const id = '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11'

export const Status = oneOf(['pending', 'paid', 'shipped', 'cancelled'], { description: 'How far the order is' })

export const OrderItem = Type.Object({ productId, sku, name, quantity, unitPrice: ref(Money) }, {
  $id: 'OrderItem',
  description: 'What a product was called and cost when it was ordered'
})

export const Order = Type.Object({
  id: Id('UUIDv7'),
  status: Status,
  items: Type.Array(ref(OrderItem), { minItems: 1, maxItems: MAX_ITEMS }),
  total: ref(Money),
  createdAt: Timestamp('When it was placed'),
  updatedAt: Timestamp('When it last changed')
}, {
  $id: 'Order',
  description: 'An order of products',
  examples: [{
    id,
    status: 'pending',
    items: [{ productId: id, sku: 'KB-TKL-01', name: 'Mechanical keyboard', quantity: 2, unitPrice: { amount: 8990, currency: 'EUR' } }],
    total: { amount: 17_980, currency: 'EUR' },
    createdAt: '2026-11-25T09:36:16.000Z',
    updatedAt: '2026-11-25T09:36:16.000Z'
  }]
})

export const NewOrder = Type.Object({
  items: Type.Array(Type.Object({ productId, quantity }, { additionalProperties: false }), { minItems: 1, maxItems: MAX_ITEMS, description: 'Each product once' })
}, {
  $id: 'NewOrder',
  description: 'An order to place',
  additionalProperties: false,
  examples: [{ items: [{ productId: id, quantity: 2 }] }]
})

export const OrderPage = pageOf(Order)

export const OrderEvent = Type.Object({
  id: position,
  type: oneOf(['order.created', 'order.paid', 'order.shipped', 'order.cancelled'], { description: 'What happened' }),
  orderId: Id('The order that it happened to'),
  at: Timestamp('When it happened'),
  order: ref(Order)
}, {
  $id: 'OrderEvent',
  description: 'A change of an order, and what the order was after it; `event` of the stream is its type'
})
