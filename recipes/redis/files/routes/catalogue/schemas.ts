import { Type } from 'typebox'
import { Money, Product } from '../products/schemas.ts'

const { id, sku, name, description } = Product.properties

/** Whole in itself, without a `$ref`: the cache holds what it reads against it. */
export const CatalogueItem = Type.Object({ id, sku, name, description, price: Type.Object(Money.properties, { additionalProperties: false }) }, {
  $id: 'CatalogueItem',
  description: 'What a shop window shows of a product',
  additionalProperties: false,
  examples: [{ id: '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11', sku: 'KB-TKL-01', name: 'Mechanical keyboard', description: 'Tenkeyless, hot-swappable switches.', price: { amount: 8990, currency: 'EUR' } }]
})
