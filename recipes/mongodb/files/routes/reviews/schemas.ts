import { Type } from 'typebox'
import { Id, Line, Text, Timestamp, pageOf } from '../schemas.ts'

const input = { additionalProperties: false }
const fields = {
  rating: Type.Integer({ minimum: 1, maximum: 5, format: 'int32', description: '1 is the worst, 5 the best' }),
  title: Line(200, 'What it comes to'),
  text: Text(5000, 'What there is to say')
}
const productId = Id('The product')
const example = { productId: '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11', rating: 4, title: 'Quiet and quick', text: 'The switches could be lighter.' }

export const Review = Type.Object({
  id: Id('UUIDv7'),
  productId,
  authorId: Id('Who wrote it'),
  ...fields,
  createdAt: Timestamp('When it was written'),
  updatedAt: Timestamp('When it last changed')
}, {
  $id: 'Review',
  description: 'What a user thinks of a product',
  examples: [{ id: '0197fbd2-7a31-7c04-9d54-2f6b9c1e8a02', authorId: '0197fbd2-70aa-7b1e-8f3c-6d2e4a9b5c13', ...example, createdAt: '2026-11-25T09:36:16.000Z', updatedAt: '2026-11-25T09:36:16.000Z' }]
})

export const NewReview = Type.Object({ productId, ...fields }, {
  $id: 'NewReview',
  description: 'A review to write',
  ...input,
  examples: [example]
})

export const ReviewPatch = Type.Object({
  rating: Type.Optional(fields.rating),
  title: Type.Optional(fields.title),
  text: Type.Optional(fields.text)
}, {
  $id: 'ReviewPatch',
  description: 'JSON merge patch (RFC 7396) of a review',
  ...input,
  examples: [{ rating: 5 }]
})

export const ReviewPage = pageOf(Review)

export const Rating = Type.Object({
  productId,
  count: Type.Integer({ minimum: 0, maximum: 2_147_483_647, format: 'int32', description: 'How many reviews' }),
  average: Type.Unsafe<number | null>({ type: ['number', 'null'], minimum: 1, maximum: 5, description: 'Of their ratings, to two decimals; null without any' })
}, {
  $id: 'Rating',
  description: 'What the reviews of a product come to',
  examples: [{ productId: example.productId, count: 12, average: 4.25 }]
})
