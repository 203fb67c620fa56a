import { Type, type TObject, type TProperties } from 'typebox'
import { Moment, toBsonSchema } from './bson-schema.ts'

/** An index. Its name stays what it is: an index that is to be another gets another name. */
export interface IndexDefinition {
  name: string
  /** The fields in order, and which way round. */
  key: Record<string, 1 | -1>
  unique?: boolean
  /** Has MongoDB delete a document so long after the time in its field, in seconds. */
  expireAfterSeconds?: number
  partialFilterExpression?: object
}

/** A collection as `npm run db:migrate` makes it. */
export interface CollectionDefinition {
  name: string
  /** What MongoDB checks of each document that is written. */
  validator: { $jsonSchema: object }
  indexes: IndexDefinition[]
}

const NAME = /^[a-z][a-z0-9_]{0,59}$/
const id = Type.String({ format: 'uuid' })

/** The document of a resource: these fields, and what a `Repository` keeps of each. */
export function resourceDocument<Properties extends TProperties> (fields: Properties) {
  return Type.Object({
    _id: id,
    ...fields,
    version: Type.Integer({ minimum: 1, maximum: 2_147_483_647 }),
    createdAt: Moment('When it was created'),
    updatedAt: Moment('When it last changed')
  }, { additionalProperties: false })
}

/**
 * Declares a collection; put it into `services/mongodb/collections.ts`, or nobody makes it.
 * @throws Error when its name can't be, or MongoDB can't check its schema
 */
export function defineCollection ({ name, document, indexes = [] }: { name: string, document: TObject, indexes?: IndexDefinition[] }): CollectionDefinition {
  if (!NAME.test(name)) throw new Error(`The collection ${JSON.stringify(name)} is not well declared: its name is lower-case letters, digits and "_", at most 60`)
  const names = indexes.map(({ name }) => name)
  if (new Set(names).size < names.length) throw new Error(`The collection "${name}" is not well declared: two of its indexes have one name`)
  return { name, validator: { $jsonSchema: toBsonSchema(document) }, indexes }
}
