import { Type } from 'typebox'
import { MAX_PRICE } from '../../services/money.ts'
import { Amount, Currency, Id, Line, Text, Timestamp, pageOf, ref } from '../schemas.ts'

const input = { additionalProperties: false }
const inStock = 'How many there are'
const fields = {
  sku: Type.String({ minLength: 1, maxLength: 64, pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$', description: 'Stock keeping unit; unique' }),
  name: Line(200, 'What it is called'),
  description: Text(2000, 'What it is'),
  stock: Type.Integer({ minimum: 0, maximum: 1_000_000_000, format: 'int32', description: inStock })
}
const example = {
  sku: 'KB-TKL-01',
  name: 'Mechanical keyboard',
  description: 'Tenkeyless, hot-swappable switches.',
  price: { amount: 8990, currency: 'EUR' },
  stock: 120
}

export const Money = Type.Object({ amount: Amount(Number.MAX_SAFE_INTEGER), currency: Currency }, {
  $id: 'Money',
  description: 'An amount of a currency',
  examples: [example.price]
})

export const Price = Type.Object({ amount: Amount(MAX_PRICE), currency: Currency }, {
  $id: 'Price',
  description: 'What one piece costs',
  ...input,
  examples: [example.price]
})

export const Product = Type.Object({
  id: Id('UUIDv7'),
  ...fields,
  // Returned stock may exceed what can be set.
  stock: Type.Integer({ minimum: 0, maximum: 2_147_483_647, format: 'int32', description: inStock }),
  price: ref(Money),
  createdAt: Timestamp('When it was created'),
  updatedAt: Timestamp('When it last changed')
}, {
  $id: 'Product',
  description: 'Something for sale',
  examples: [{ id: '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11', ...example, createdAt: '2026-11-25T09:36:16.000Z', updatedAt: '2026-11-25T09:36:16.000Z' }]
})

export const NewProduct = Type.Object({ ...fields, price: ref(Price) }, {
  $id: 'NewProduct',
  description: 'A product to create',
  ...input,
  examples: [example]
})

export const ProductPatch = Type.Object({
  name: Type.Optional(fields.name),
  description: Type.Optional(fields.description),
  price: Type.Optional(Type.Object({ amount: Type.Optional(Amount(MAX_PRICE)), currency: Type.Optional(Currency) }, input)),
  stock: Type.Optional(fields.stock)
}, {
  $id: 'ProductPatch',
  description: 'JSON merge patch (RFC 7396) of a product',
  ...input,
  examples: [{ price: { amount: 7990 }, stock: 80 }]
})

export const ProductPage = pageOf(Product)
