import { randomUUIDv7 } from 'node:crypto'
import type { Collection, Filter, MatchKeysAndValues, OptionalUnlessRequiredId, UpdateFilter, WithId } from 'mongodb'
import type { CollectionDefinition } from './collection.ts'
import { guarded } from './failures.ts'
import type { Seek } from './seek.ts'
import type { MongoStore, MongoTransaction } from './store.ts'

/** What a repository keeps of each resource. `version` grows with every change. */
export interface Kept { id: string, version: number, createdAt: Date, updatedAt: Date }

/** A resource as a document: its id is `_id`. */
export type DocumentOf<T extends Kept> = Omit<T, 'id'> & { _id: string }

/** The versions that a change may be made to: those in the list, or whichever is there. */
export type Versions = readonly number[] | 'any'

/** Resources in a collection of MongoDB. All of it throws what `guarded` does. */
export class Repository<T extends Kept> {
  readonly #store: MongoStore
  readonly #name: string

  constructor (store: MongoStore, { name }: CollectionDefinition) {
    this.#store = store
    this.#name = name
  }

  /** @throws DuplicateError when a unique index has its values already */
  async insert (fields: Omit<T, keyof Kept>, transaction?: MongoTransaction): Promise<T> {
    const now = new Date()
    const document = { _id: randomUUIDv7(), ...fields, version: 1, createdAt: now, updatedAt: now } as unknown as DocumentOf<T>
    await this.#run(async (collection, limits) => await collection.insertOne(document as OptionalUnlessRequiredId<DocumentOf<T>>, { ...limits, session: transaction }))
    return toResource(document)
  }

  /** @returns undefined when there is none of that id */
  async find (id: string, transaction?: MongoTransaction): Promise<T | undefined> {
    const document = await this.#run(async (collection, limits) => await collection.findOne(ofVersion<T>(id, 'any'), { ...limits, session: transaction }))
    return document === null ? undefined : toResource(document)
  }

  /** A part of those that have what the filter says. Values of callers go into it as `$eq`, never as they came. */
  async list (filter: Filter<DocumentOf<T>>, { after, sort, limit }: Seek): Promise<T[]> {
    const where = { $and: [filter, after] } as Filter<DocumentOf<T>>
    const documents = await this.#run(async (collection, limits) => await collection.find(where, { ...limits, sort, limit, batchSize: limit, singleBatch: true }).toArray())
    return documents.map(document => toResource(document))
  }

  /**
   * Changes a resource if it has one of the versions: of two who change the same version, one succeeds. Without a change
   * it stays as it is, its version, too.
   * @returns it as it was and as it is; undefined when there is none of that id and version
   */
  async update (id: string, versions: Versions, changes: Partial<Omit<T, keyof Kept>>, transaction?: MongoTransaction): Promise<{ before: T, after: T } | undefined> {
    const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
    const where = ofVersion<T>(id, versions)
    if (Object.keys(given).length === 0) {
      const same = await this.#run(async (collection, limits) => await collection.findOne(where, { ...limits, session: transaction }))
      return same === null ? undefined : { before: toResource(same), after: toResource(same) }
    }
    const set = { ...given, updatedAt: new Date() } as unknown as MatchKeysAndValues<DocumentOf<T>>
    const update = { $set: set, $inc: { version: 1 } } as unknown as UpdateFilter<DocumentOf<T>>
    const document = await this.#run(async (collection, limits) => await collection.findOneAndUpdate(where, update, { ...limits, session: transaction, returnDocument: 'before' }))
    if (document === null) return undefined
    const before = toResource(document)
    return { before, after: { ...before, ...set, version: before.version + 1 } as T }
  }

  /** @returns what it was; undefined when there is none of that id and version */
  async remove (id: string, versions: Versions, transaction?: MongoTransaction): Promise<T | undefined> {
    const document = await this.#run(async (collection, limits) => await collection.findOneAndDelete(ofVersion<T>(id, versions), { ...limits, session: transaction }))
    return document === null ? undefined : toResource(document)
  }

  async #run<R> (work: (collection: Collection<DocumentOf<T>>, limits: { maxTimeMS: number }) => Promise<R>): Promise<R> {
    return await guarded(async () => await work(this.#store.collection<DocumentOf<T>>(this.#name), { maxTimeMS: this.#store.maxTimeMS }))
  }
}

// The condition is part of the operation that changes the document: nothing can come in between.
function ofVersion<T extends Kept> (id: string, versions: Versions): Filter<DocumentOf<T>> {
  return { _id: { $eq: id }, ...versions === 'any' ? {} : { version: { $in: [...versions] } } } as unknown as Filter<DocumentOf<T>>
}

/** The resource of a document. */
export function toResource<T extends Kept> ({ _id, ...rest }: DocumentOf<T> | WithId<DocumentOf<T>>): T {
  return { id: _id, ...rest } as unknown as T
}
