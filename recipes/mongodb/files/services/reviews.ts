import { Type } from 'typebox'
import type { Database } from './database.ts'
import { DomainError } from './errors.ts'
import { defineCollection, resourceDocument } from './mongodb/collection.ts'
import { DuplicateError, guarded } from './mongodb/failures.ts'
import { Repository, type Kept, type Versions } from './mongodb/repository.ts'
import { documentKeyset } from './mongodb/seek.ts'
import type { MongoStore, MongoTransaction } from './mongodb/store.ts'
import type { Page, PageQuery } from './pagination.ts'
import type { Actor } from './scopes.ts'

/** What a user thinks of a product, once for each. */
export interface Review extends Kept {
  productId: string
  authorId: string
  /** 1 to 5. */
  rating: number
  title: string
  text: string
}

export type NewReview = Pick<Review, 'productId' | 'rating' | 'title' | 'text'>
export type ReviewPatch = Partial<Pick<Review, 'rating' | 'title' | 'text'>>

/** What all reviews of a product come to. `average` is null without any. */
export interface Rating { productId: string, count: number, average: number | null }

interface RatingDocument { _id: string, count: number, sum: number }

const id = Type.String({ format: 'uuid' })
const count = Type.Integer({ minimum: 0, maximum: 2_147_483_647 })

export const reviews = defineCollection({
  name: 'reviews',
  document: resourceDocument({
    productId: id,
    authorId: id,
    rating: Type.Integer({ minimum: 1, maximum: 5 }),
    title: Type.String({ minLength: 1, maxLength: 200 }),
    text: Type.String({ maxLength: 5000 })
  }),
  indexes: [
    { name: 'product_author', key: { productId: 1, authorId: 1 }, unique: true },
    { name: 'product_created', key: { productId: 1, createdAt: 1, _id: 1 } },
    { name: 'product_rating', key: { productId: 1, rating: 1, _id: 1 } },
    { name: 'created', key: { createdAt: 1, _id: 1 } },
    { name: 'rating', key: { rating: 1, _id: 1 } },
    { name: 'author', key: { authorId: 1, createdAt: 1, _id: 1 } }
  ]
})

export const ratings = defineCollection({
  name: 'ratings',
  document: Type.Object({ _id: id, count, sum: count }, { additionalProperties: false })
})

const order = documentKeyset('reviews', {
  createdAt: { field: 'createdAt', kind: 'time', value: (review: Review) => review.createdAt },
  rating: { field: 'rating', kind: 'integer', value: review => review.rating }
})

/** What GET /reviews may be sorted by. */
export const reviewSorts = order.sorts
type ReviewSort = typeof reviewSorts[number]

const repository = (store: MongoStore) => new Repository<Review>(store, reviews)

/**
 * The reviews, or those of a product, an author, a rating, or with `q` in title or text, whatever its case; newest first unless sorted.
 * @throws DomainError INVALID_CURSOR
 */
export async function listReviews (store: MongoStore, query: PageQuery<ReviewSort> & Partial<Pick<Review, 'productId' | 'authorId' | 'rating'>> & { q?: string }): Promise<Page<Review>> {
  const { sort = '-createdAt', productId, authorId, rating, q = '' } = query
  const equal = Object.entries({ productId, authorId, rating }).filter(([, value]) => value !== undefined).map(([field, value]) => [field, { $eq: value }])
  const anywhere = { $regex: literally(q), $options: 'i' }
  const filter = { ...Object.fromEntries(equal), ...q === '' ? {} : { $or: [{ title: anywhere }, { text: anywhere }] } }
  return order.page(await repository(store).list(filter, order.seek(sort, query)), sort, query)
}

/** @throws DomainError NOT_FOUND */
export async function findReview (store: MongoStore, id: string): Promise<Review> {
  const review = await repository(store).find(id)
  if (review === undefined) throw new DomainError('NOT_FOUND', 'There is no such review.')
  return review
}

/**
 * Adds a review, and what it does to the rating of its product, in one transaction.
 * @param db where the products are
 * @throws DomainError PRODUCT_GONE, REVIEW_EXISTS
 */
export async function createReview (store: MongoStore, db: Database, actor: Actor, review: NewReview): Promise<Review> {
  const { productId } = review
  if (await db.product.count({ where: { id: productId } }) === 0) throw new DomainError('PRODUCT_GONE', 'There is no such product.', [{ path: '/productId', detail: 'names no product' }])
  try {
    return await store.transaction(async transaction => {
      const created = await repository(store).insert({ ...review, authorId: actor.id }, transaction)
      await rate(store, productId, 1, review.rating, transaction)
      return created
    })
  } catch (error) {
    if (!(error instanceof DuplicateError)) throw error
    throw new DomainError('REVIEW_EXISTS', 'You have reviewed this product already: change that review.', [{ path: '/productId', detail: 'has a review of yours' }])
  }
}

/**
 * Changes one's own review if it has one of the versions.
 * @throws DomainError NOT_FOUND, NOT_OWN_REVIEW, STALE_VERSION
 */
export async function updateReview (store: MongoStore, actor: Actor, id: string, versions: Versions, patch: ReviewPatch): Promise<Review> {
  const { authorId } = await findReview(store, id)
  if (authorId !== actor.id) throw notOwn()
  const changed = await store.transaction(async transaction => {
    const found = await repository(store).update(id, versions, patch, transaction)
    if (found !== undefined) await rate(store, found.after.productId, 0, found.after.rating - found.before.rating, transaction)
    return found
  })
  return changed?.after ?? await refuse(store, id)
}

/**
 * Deletes one's own review, or anyone's with the scope `products:write`, if it has one of the versions.
 * @throws DomainError NOT_FOUND, NOT_OWN_REVIEW, STALE_VERSION
 */
export async function deleteReview (store: MongoStore, actor: Actor, id: string, versions: Versions): Promise<void> {
  const { authorId } = await findReview(store, id)
  if (authorId !== actor.id && !actor.scopes.has('products:write')) throw notOwn()
  const removed = await store.transaction(async transaction => {
    const found = await repository(store).remove(id, versions, transaction)
    if (found !== undefined) await rate(store, found.productId, -1, -found.rating, transaction)
    return found
  })
  if (removed === undefined) await refuse(store, id)
}

/** What the reviews of a product come to; of one that nobody reviewed, or that is not there, nothing. */
export async function ratingOf (store: MongoStore, productId: string): Promise<Rating> {
  const { count, sum } = await guarded(async () => await store.collection<RatingDocument>(ratings.name).findOne({ _id: { $eq: productId } }, { maxTimeMS: store.maxTimeMS })) ?? { count: 0, sum: 0 }
  return { productId, count, average: count === 0 ? null : Math.round(sum / count * 100) / 100 }
}

/** A pattern for a text as it is. Not `RegExp.escape`: it writes \u2028, which MongoDB's PCRE refuses. */
function literally (text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}

async function rate (store: MongoStore, productId: string, count: number, sum: number, transaction: MongoTransaction): Promise<void> {
  if (count === 0 && sum === 0) return
  const change = { $inc: { count, sum } }
  await guarded(async () => await store.collection<RatingDocument>(ratings.name).updateOne({ _id: productId }, change, { upsert: true, session: transaction, maxTimeMS: store.maxTimeMS }))
}

async function refuse (store: MongoStore, id: string): Promise<never> {
  const { version } = await findReview(store, id)
  throw new DomainError('STALE_VERSION', `The review has changed: it is at version ${version} now. Read it again before you change it.`)
}

function notOwn (): DomainError {
  return new DomainError('NOT_OWN_REVIEW', 'The review is somebody else\'s.')
}
