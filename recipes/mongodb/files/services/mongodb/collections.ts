import { ratings, reviews } from '../reviews.ts'
import type { CollectionDefinition } from './collection.ts'

/** The collections of the service: `npm run db:migrate` makes them, and the service is not ready without them. */
export const collections: CollectionDefinition[] = [reviews, ratings]
