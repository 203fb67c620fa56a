// Values that fit a schema, those at its bounds more often than chance has them.
import fc, { type Arbitrary } from 'fast-check'
import { resolve, typeOf, type Schema } from './document.ts'
import { known, poolFor } from './known.ts'

/** Longer texts are made for faults only: the bound itself is tried there. */
const MAX_TEXT = 200
const MAX_ITEMS = 5

/** Values of a schema. `path` and `name` say where in the document it is. */
export function valid (schema: Schema, path: string, name = ''): Arbitrary<unknown> {
  const pool = poolFor(path, name)
  const any = plain(resolve(schema), path)
  // One that nobody gave out is refused wherever it fits: better none, until there is one.
  if (name === 'cursor' && pool !== undefined) return fc.oneof({ weight: 9, arbitrary: known(pool) }, { weight: 1, arbitrary: any })
  return pool === undefined ? any : fc.oneof({ weight: 5, arbitrary: fc.tuple(known(pool), any).map(([value, other]) => value ?? other) }, { weight: 1, arbitrary: any })
}

function plain (schema: Schema, path: string): Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  const { minimum = -1e9, maximum = 1e9, minItems = 0, maxItems = MAX_ITEMS } = schema
  switch (typeOf(schema)) {
    case 'integer': return fc.oneof(fc.integer({ min: minimum, max: Math.min(maximum, minimum + 20) }), fc.integer({ min: minimum, max: maximum }), fc.constantFrom(minimum, maximum))
    case 'number': return fc.double({ min: minimum, max: maximum, noNaN: true })
    case 'boolean': return fc.boolean()
    case 'null': return fc.constant(null)
    case 'array': return array(valid(schema.items ?? {}, path), minItems, Math.min(maxItems, Math.max(minItems, MAX_ITEMS)))
    case 'object': return object(schema, path)
    default: return text(schema)
  }
}

/** Half of them are as short as may be, or of one: of several items two are often alike, which a service may refuse. */
function array (item: Arbitrary<unknown>, minLength: number, maxLength: number): Arbitrary<unknown[]> {
  return fc.oneof(fc.array(item, { minLength, maxLength }), fc.array(item, { minLength, maxLength: Math.max(minLength, 1) }))
}

function object ({ properties = {}, required = [] }: Schema, path: string): Arbitrary<unknown> {
  const fields = Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, valid(schema, path, name)]))
  return fc.record(fields, { requiredKeys: required.filter(name => name in fields), noNullPrototype: true })
}

function text ({ format, pattern, minLength = 0, maxLength = MAX_TEXT }: Schema): Arbitrary<string> {
  const fits = (value: string) => [...value].length >= minLength && [...value].length <= maxLength
  if (format === 'uuid') return fc.uuid()
  if (format === 'email') return fc.tuple(fc.stringMatching(/^[a-z][a-z0-9]{4,12}$/), fc.nat(1e9)).map(([user, n]) => `${user}.${n}@example.com`)
  if (format === 'date-time') return fc.date({ noInvalidDate: true }).map(date => date.toISOString())
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern), { maxLength: Math.min(maxLength, MAX_TEXT) }).filter(fits)
  return fc.string({ minLength, maxLength: Math.min(maxLength, MAX_TEXT), unit: 'grapheme' }).filter(fits)
}
