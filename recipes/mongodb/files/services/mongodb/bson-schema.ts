import { Type, type TSchema } from 'typebox'

/** A point in time, in the schema of a document. */
export const Moment = (description: string) => Type.Unsafe<Date>({ bsonType: 'date', description })

type Schema = Record<string, unknown>

/** What says nothing of values. */
const NOTES = new Set(['$id', '$comment', 'title', 'description', 'default', 'examples', 'deprecated', 'readOnly', 'writeOnly'])
/** What MongoDB knows by the same name. */
const SAME = new Set(['bsonType', 'enum', 'multipleOf', 'minLength', 'maxLength', 'pattern', 'minItems', 'maxItems', 'uniqueItems', 'minProperties', 'maxProperties', 'required'])
const OF_SCHEMAS = new Set(['allOf', 'anyOf', 'oneOf'])
const OF_NAMED_SCHEMAS = new Set(['properties', 'patternProperties'])
const BSON_TYPES: Schema = { string: 'string', boolean: 'bool', null: 'null', array: 'array', object: 'object', number: 'number' }
/** MongoDB has no formats: of these a pattern says the same. */
const FORMATS: Record<string, string> = {
  uuid: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$',
  'date-time': '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d)$',
  int32: '',
  int64: ''
}
const INT32 = { minimum: -2_147_483_648, maximum: 2_147_483_647 }

/**
 * What MongoDB is to check of documents (`$jsonSchema`, which is JSON Schema draft 4 with types of its own), from a schema
 * of TypeBox. What it can't check is refused here, so that no rule gets lost on the way.
 * @throws Error that names the place and the keyword
 */
export function toBsonSchema (schema: TSchema, path = '/'): Schema {
  const given = Object.entries(schema).filter(([keyword]) => !NOTES.has(keyword) && !keyword.startsWith('~'))
  return Object.assign({}, ...given.map(([keyword, value]) => translate(keyword, value, schema as Schema, path))) as Schema
}

function translate (keyword: string, value: unknown, schema: Schema, path: string): Schema {
  const cannot = () => new Error(`MongoDB can't check ${keyword} ${JSON.stringify(value)} of the schema at ${path}: say it in another way`)
  const inner = (value: unknown, name: string) => toBsonSchema(value as TSchema, `${path === '/' ? '' : path}/${name}`)
  if (SAME.has(keyword)) return { [keyword]: value }
  if (OF_SCHEMAS.has(keyword)) return { [keyword]: (value as unknown[]).map((one, index) => inner(one, `${keyword}/${index}`)) }
  if (OF_NAMED_SCHEMAS.has(keyword)) return { [keyword]: Object.fromEntries(Object.entries(value as Schema).map(([name, one]) => [name, inner(one, name)])) }
  switch (keyword) {
    case 'type': return typeOf(value, schema, cannot)
    case 'const': return { enum: [value] }
    case 'not': return { not: inner(value, keyword) }
    case 'items': return { items: Array.isArray(value) ? value.map((one, index) => inner(one, String(index))) : inner(value, keyword) }
    case 'additionalItems':
    case 'additionalProperties': return { [keyword]: typeof value === 'boolean' ? value : inner(value, keyword) }
    // Draft 4: the bound is in one keyword, that it is excluded in another.
    case 'minimum':
    case 'maximum': return { [keyword]: value }
    case 'exclusiveMinimum': return schema.minimum === undefined ? { minimum: value, exclusiveMinimum: true } : refuse(cannot)
    case 'exclusiveMaximum': return schema.maximum === undefined ? { maximum: value, exclusiveMaximum: true } : refuse(cannot)
    case 'format': return formatOf(value, schema, cannot)
    default: throw cannot()
  }
}

function typeOf (type: unknown, schema: Schema, cannot: () => Error): Schema {
  const types = [type].flat()
  const bsonType = types.flatMap(name => {
    if (name === 'integer') return isInt32(schema) ? ['int'] : ['int', 'long', 'double']
    return BSON_TYPES[String(name)] ?? refuse(cannot)
  })
  // Beyond 32 bits the driver writes a number of JavaScript as a double.
  const whole = types.includes('integer') && !isInt32(schema) && schema.multipleOf === undefined ? { multipleOf: 1 } : {}
  return { bsonType: bsonType.length === 1 ? bsonType[0] : bsonType, ...whole }
}

function isInt32 ({ minimum = -Infinity, maximum = Infinity }: Schema): boolean {
  return Number(minimum) >= INT32.minimum && Number(maximum) <= INT32.maximum
}

function formatOf (format: unknown, { pattern }: Schema, cannot: () => Error): Schema {
  const same = FORMATS[String(format)]
  if (same === '') return {}
  return same === undefined || pattern !== undefined ? refuse(cannot) : { pattern: same }
}

function refuse (cannot: () => Error): never {
  throw cannot()
}
