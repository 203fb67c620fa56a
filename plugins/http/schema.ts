import type { TSchema } from 'typebox'
import { compileSchema, type Validate } from '../../server/validator.ts'

const MAX_FAULTS = 5
const compiled = new WeakMap<TSchema, Validate>()

/**
 * Checks an answer against its schema. Nothing is coerced, removed or filled in.
 * @returns what is wrong, in words without values; undefined for an answer that fits
 */
export function misfit (schema: TSchema, value: unknown): string | undefined {
  let validate = compiled.get(schema)
  if (validate === undefined) {
    validate = compileSchema(schema, { allErrors: false })
    compiled.set(schema, validate)
  }
  if (validate(value)) return undefined
  return (validate.errors ?? []).slice(0, MAX_FAULTS).map(({ instancePath, message = 'is not valid' }) => `body${instancePath} ${message}`).join('; ')
}
