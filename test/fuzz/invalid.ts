// Values next to what a schema allows, and far from it.
import fc, { type Arbitrary } from 'fast-check'
import { resolve, typeOf, type Schema } from './document.ts'
import { valid } from './valid.ts'

const NASTY = ['', ' ', '\0', 'a\0b', '\ud800', '\u202e', '../../etc/passwd', '%00', '%E0%A4%A', "' OR 1=1 --", '<script>', '{}', '[]', 'null', 'undefined', 'NaN', '-1', '0', '00', '1e9', '5 ', '+5', '0x5', '1.5', '99999999999999999999', '*', 'W/"1"', '"1', '__proto__', 'constructor', '𝒜'.repeat(100), 'é'.repeat(300)]

const MAX_TEXT = 100_000

/** Texts that few schemas allow. */
export const nastyText: Arbitrary<string> = fc.oneof(fc.constantFrom(...NASTY), fc.string({ unit: 'binary', maxLength: 50 }))

/** Values that are wrong in one place, mostly. A text that happens to be right is no harm. */
export function invalid (schema: Schema, path: string): Arbitrary<unknown> {
  const target = resolve(schema)
  return fc.oneof({ weight: 1, arbitrary: otherType(target) }, { weight: 4, arbitrary: nearMiss(target, path) })
}

function otherType (schema: Schema): Arbitrary<unknown> {
  const own = typeOf(schema)
  return fc.constantFrom(null, true, 'text', 1, 1.5, -0, [], [null], {}, { a: { b: [] } }).filter(value => own !== 'object' || typeof value !== 'object' || Array.isArray(value) || value === null)
}

function nearMiss (schema: Schema, path: string): Arbitrary<unknown> {
  const { minimum = 0, maximum = 0, maxItems = 0, minItems = 0 } = schema
  switch (typeOf(schema)) {
    case 'integer': return fc.constantFrom(minimum - 1, maximum + 1, minimum + 0.5, -maximum, 2 ** 31, 2 ** 53, 1e21, Number.MIN_VALUE, String(minimum))
    case 'array': return fc.oneof(
      invalid(schema.items ?? {}, path).map(item => [item]),
      valid(schema.items ?? {}, path).map(item => Array.from({ length: Math.min(maxItems, 1000) + 1 }, () => item)),
      fc.constant(Array.from({ length: Math.max(minItems - 1, 0) }, () => null))
    )
    case 'object': return object(schema, path)
    default: return text(schema)
  }
}

function object (schema: Schema, path: string): Arbitrary<unknown> {
  const { properties = {}, required = [] } = schema
  const names = Object.keys(properties)
  const change = fc.oneof(
    fc.constantFrom('extra', '__proto__', 'constructor', '').map(name => (value: object) => ({ ...value, [`${name}`]: 1 })),
    ...required.map(name => fc.constant((value: object) => Object.fromEntries(Object.entries(value).filter(([key]) => key !== name)))),
    ...names.map(name => invalid(properties[name] ?? {}, path).map(wrong => (value: object) => ({ ...value, [name]: wrong })))
  )
  return fc.tuple(valid(schema, path), change).map(([value, apply]) => apply(value as object))
}

function text ({ maxLength: longest = 0, minLength = 0 }: Schema): Arbitrary<unknown> {
  // A file may be longer than a string.
  const maxLength = Math.min(longest, MAX_TEXT)
  return fc.oneof(
    { weight: 3, arbitrary: nastyText },
    { weight: 1, arbitrary: fc.constantFrom('a'.repeat(maxLength), 'a'.repeat(maxLength + 1), 'a'.repeat(10_240), 'a'.repeat(minLength), 'a'.repeat(Math.max(minLength - 1, 0))) }
  )
}
