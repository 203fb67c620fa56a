import { Type, type Static, type TSchema } from 'typebox'
import { DEFAULT_LIMIT, MAX_LIMIT } from '../services/pagination.ts'

const CURSOR = { maxLength: 2048, pattern: '^[A-Za-z0-9_-]+$' }

/** A string that is one of the given. */
export const oneOf = <const Value extends string>(values: readonly Value[], options: object = {}) => Type.Unsafe<Value>({ type: 'string', enum: values, ...options })

export const Id = (description: string) => Type.String({ format: 'uuid', minLength: 36, maxLength: 36, description })

/** A point in time: the serializer writes Dates in RFC 3339; a stored answer has them written already. */
export const Timestamp = (description: string) => Type.Unsafe<Date | string>({ type: 'string', format: 'date-time', maxLength: 24, description })

/** A line of text with something in it. */
export const Line = (maxLength: number, description: string) => Type.String({ minLength: 1, maxLength, pattern: '^\\S(?:.*\\S)?$', description })

/** Any text without control characters, except for tabs and line ends. */
export const Text = (maxLength: number, description: string) => Type.String({ maxLength, pattern: '^[^\\x00-\\x08\\x0B\\x0C\\x0E-\\x1F\\x7F]*$', description })

export const Email = Type.String({ format: 'email', maxLength: 254, description: 'E-mail address; its case does not matter' })

export const Currency = Type.String({ pattern: '^[A-Z]{3}$', minLength: 3, maxLength: 3, description: 'ISO 4217 code' })

/** An amount in minor units, up to `maximum`. */
export const Amount = (maximum: number) => Type.Integer({ minimum: 0, maximum, format: maximum > 2_147_483_647 ? 'int64' : 'int32', description: 'In minor units, such as cents' })

/** A schema by its name, for what is registered with addSchema. */
export function ref<T extends TSchema> (schema: T, options: object = {}) {
  return Type.Unsafe<Static<T>>({ $ref: `${nameOf(schema)}#`, ...options })
}

/** A problem: the errors plugin says what it looks like. */
export const problem = { $ref: 'Problem#' }

/** An answer without a body. */
export const noContent = (description: string, options: object = {}) => Type.Unsafe<undefined>({ type: 'null', description, ...options })

/** The path of a single resource. */
export const idParams = (description: string) => Type.Object({ id: Id(description) }, { additionalProperties: false })

/** The query of a list: which part, and what else the list takes. */
export function pageQuery<Extra extends Record<string, TSchema>> (extra: Extra) {
  return Type.Object({
    ...extra,
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_LIMIT, default: DEFAULT_LIMIT, format: 'int32', description: 'Items of a page at the most' })),
    cursor: Type.Optional(Type.String({ ...CURSOR, description: '`nextCursor` of the page before' }))
  }, { additionalProperties: false })
}

/** A page of a list, named after its items. */
export function pageOf<T extends TSchema> (item: T) {
  return Type.Object({
    items: Type.Array(ref(item), { maxItems: MAX_LIMIT }),
    nextCursor: Type.Unsafe<string | null>({ type: ['string', 'null'], ...CURSOR, description: 'Where the next page begins; null on the last' })
  }, { $id: `${nameOf(item)}Page` })
}

function nameOf (schema: TSchema): string {
  const { $id, description = '' } = schema as { $id?: string, description?: string }
  if ($id === undefined) throw new Error(`a schema that is referred to needs a name: give "${description}" an $id, and register it with addSchema`)
  return $id
}
