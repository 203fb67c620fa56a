import t from 'tap'
import { Type, type TSchema } from 'typebox'
import { Moment, toBsonSchema } from '../../services/mongodb/bson-schema.ts'
import { defineCollection, resourceDocument } from '../../services/mongodb/collection.ts'
import { collections } from '../../services/mongodb/collections.ts'

const cases: Record<string, [TSchema, object]> = {
  'a text with its bounds': [Type.String({ minLength: 1, maxLength: 5, pattern: '^a' }), { bsonType: 'string', minLength: 1, maxLength: 5, pattern: '^a' }],
  'an id': [Type.String({ format: 'uuid' }), { bsonType: 'string', pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' }],
  'a whole number of 32 bits': [Type.Integer({ minimum: 1, maximum: 5, format: 'int32' }), { bsonType: 'int', minimum: 1, maximum: 5 }],
  'a larger whole number': [Type.Integer({ minimum: 0 }), { bsonType: ['int', 'long', 'double'], multipleOf: 1, minimum: 0 }],
  'any number': [Type.Number(), { bsonType: 'number' }],
  'bounds that are excluded': [Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1 }), { bsonType: 'number', minimum: 0, exclusiveMinimum: true, maximum: 1, exclusiveMaximum: true }],
  'yes or no': [Type.Boolean(), { bsonType: 'bool' }],
  'a point in time': [Moment('When'), { bsonType: 'date' }],
  'one value, one of several, of several types': [
    Type.Union([Type.Literal('a'), Type.Null(), Type.Unsafe({ type: ['string', 'null'] })]),
    { anyOf: [{ bsonType: 'string', enum: ['a'] }, { bsonType: 'null' }, { bsonType: ['string', 'null'] }] }
  ],
  'a list': [Type.Array(Type.Integer({ minimum: 0, maximum: 9 }), { maxItems: 3, uniqueItems: true }), { bsonType: 'array', items: { bsonType: 'int', minimum: 0, maximum: 9 }, maxItems: 3, uniqueItems: true }],
  'an object, and what may be left out of it': [
    Type.Object({ a: Type.String(), b: Type.Optional(Type.Object({ c: Type.Boolean() })) }, { additionalProperties: false }),
    { bsonType: 'object', required: ['a'], additionalProperties: false, properties: { a: { bsonType: 'string' }, b: { bsonType: 'object', required: ['c'], properties: { c: { bsonType: 'bool' } } } } }
  ],
  'what is only said': [Type.String({ $id: 'X', title: 'X', description: 'A text', default: 'a', examples: ['a'] }), { bsonType: 'string' }]
}

for (const [name, [schema, expected]] of Object.entries(cases)) {
  t.test(`${name} is checked by MongoDB as well`, async t => { t.same(toBsonSchema(schema), expected) })
}

const refused: Record<string, TSchema> = {
  'a reference': Type.Object({ a: Type.Unsafe({ $ref: 'Money#' }) }),
  'a format that it does not know': Type.Object({ a: Type.String({ format: 'email' }) }),
  'a format beside a pattern': Type.Object({ a: Type.String({ format: 'uuid', pattern: '^a' }) }),
  'a type that is none': Type.Object({ a: Type.Unsafe({ type: 'file' }) }),
  'a keyword of a later draft': Type.Object({ a: Type.Unsafe({ if: {} }) }),
  'two bounds on one side': Type.Object({ a: Type.Unsafe({ minimum: 1, exclusiveMinimum: 0 }) })
}

for (const [name, schema] of Object.entries(refused)) {
  t.test(`${name} can't be, and is named with its place`, async t => {
    t.throws(() => toBsonSchema(schema), { message: /^MongoDB can't check .* of the schema at \/a/ })
  })
}

t.test('a collection has a name that MongoDB, and everybody, can read', async t => {
  const document = resourceDocument({})
  for (const name of ['', 'Things', 'system.things', '1st', 'a$b', 'a'.repeat(61)]) t.throws(() => defineCollection({ name, document }), { message: /not well declared/ }, name)
})

t.test('two indexes of a collection have two names', async t => {
  const index = { name: 'a', key: { a: 1 as const } }
  t.throws(() => defineCollection({ name: 'things', document: resourceDocument({}), indexes: [index, index] }), { message: /two of its indexes/ })
})

t.test('the collections of the service refuse what they do not know', async t => {
  for (const { name, validator: { $jsonSchema } } of collections) t.match($jsonSchema, { bsonType: 'object', additionalProperties: false }, name)
})
