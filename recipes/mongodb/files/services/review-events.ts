import type { DomainEvent } from './events.ts'
import { toResource, type DocumentOf } from './mongodb/repository.ts'
import type { Review } from './reviews.ts'

/**
 * The event of a change of a review. It has the review as it was when the change was read; without one when that is gone.
 * It concerns nobody in particular: those see it who may see everything.
 */
export function reviewEventOf (kind: 'created' | 'changed' | 'deleted', id: string, document: object | null): DomainEvent {
  const review = document === null ? {} : { review: toResource<Review>(document as DocumentOf<Review>) }
  return { type: `review.${kind}`, subject: id, data: { reviewId: id, ...review } }
}
