import { isDeepStrictEqual } from 'node:util'
import { MongoServerError, type Db, type Document, type IndexDescriptionInfo } from 'mongodb'

/** A collection that the service needs. */
export interface NeededCollection {
  name: string
  validator: object
  indexes: { name: string, key: Record<string, 1 | -1>, unique?: boolean, expireAfterSeconds?: number, partialFilterExpression?: object }[]
}

const EXISTS = 48
const CHECKS = { validationLevel: 'strict', validationAction: 'error' } as const

/** What a database lacks or has otherwise, in words: nothing when it is as needed. It changes nothing. */
export async function missingIn (db: Db, needed: NeededCollection[]): Promise<string[]> {
  const there = await collectionsOf(db)
  const problems = await Promise.all(needed.map(async ({ name, validator, indexes }) => {
    const options = there.get(name)
    if (options === undefined) return [`the collection ${name} is missing`]
    const found = new Map((await db.collection(name).indexes()).map(index => [index.name, index]))
    return [
      ...isChecked(options, validator) ? [] : [`the collection ${name} has another validator`],
      ...indexes.flatMap(index => {
        const present = found.get(index.name)
        return present === undefined ? [`the index ${name}.${index.name} is missing`] : isSame(index, present) ? [] : [`the index ${name}.${index.name} is another`]
      })
    ]
  }))
  return problems.flat()
}

/**
 * Makes collections, validators and indexes as needed. Several may do it at once. Documents are left as they are, also those that no
 * longer fit, and so are indexes that nobody asks for.
 * @returns what was made, in words
 * @throws Error in words for the operator, where an index of the same name is another
 */
export async function prepareCollections (db: Db, needed: NeededCollection[]): Promise<string[]> {
  const made: string[] = []
  const there = await collectionsOf(db)
  // Before anything is changed.
  for (const { name, indexes } of needed) if (there.has(name)) await assertNoOthers(db, name, indexes)
  for (const { name, validator, indexes } of needed) {
    const options = there.get(name)
    if (options === undefined) made.push(...await createCollection(db, name, validator))
    else if (!isChecked(options, validator)) {
      await db.command({ collMod: name, validator, ...CHECKS })
      made.push(`the validator of ${name}`)
    }
    const found = new Set((await db.collection(name).indexes()).map(({ name }) => name))
    for (const { name: index, key, ...options } of indexes) {
      if (found.has(index)) continue
      await db.collection(name).createIndex(key, { ...options, name: index })
      made.push(`the index ${name}.${index}`)
    }
  }
  return made
}

async function assertNoOthers (db: Db, name: string, indexes: NeededCollection['indexes']): Promise<void> {
  const found = new Map((await db.collection(name).indexes()).map(index => [index.name, index]))
  for (const index of indexes) {
    const present = found.get(index.name)
    if (present !== undefined && !isSame(index, present)) throw new Error(`The index ${index.name} of ${name} is there, and is another. Give the new one another name, and drop the old one when no release needs it.`)
  }
}

/** The collections that there are, with the options that they were made with. */
async function collectionsOf (db: Db): Promise<Map<string, Document>> {
  return new Map((await db.listCollections().toArray()).map(found => [found.name, 'options' in found ? found.options ?? {} : {}]))
}

function isChecked ({ validator: found, validationLevel, validationAction }: Document, validator: object): boolean {
  return isDeepStrictEqual(found, validator) && validationLevel !== 'off' && validationAction !== 'warn'
}

async function createCollection (db: Db, name: string, validator: object): Promise<string[]> {
  try {
    await db.createCollection(name, { validator, ...CHECKS })
    return [`the collection ${name}`]
  } catch (error) {
    // Another process was faster.
    if (error instanceof MongoServerError && error.code === EXISTS) return []
    throw error
  }
}

function isSame (needed: Omit<NeededCollection['indexes'][number], 'name'>, found: IndexDescriptionInfo): boolean {
  return isDeepStrictEqual(Object.entries(needed.key), Object.entries(found.key).map(([field, way]) => [field, Number(way)])) &&
    (needed.unique ?? false) === (found.unique ?? false) &&
    needed.expireAfterSeconds === found.expireAfterSeconds &&
    isDeepStrictEqual(needed.partialFilterExpression, found.partialFilterExpression)
}
