import type { TSchema } from 'typebox'
import { isStorable, isSuspect } from '../../server/storable.ts'
import { compileSchema, type Fault, type Validate } from '../../server/validator.ts'

const MAX_LENGTH = 1000

/**
 * Checks payloads against a schema: nothing is coerced, no default filled in.
 * @returns what gives the faults of a payload in words, or undefined
 */
export function payloadCheck (schema: TSchema): (payload: unknown) => string | undefined {
  // Compiled with the first message: many processes never see one.
  let validate: Validate | undefined
  return payload => {
    // The first fault alone: how many there are is for strangers to choose.
    validate ??= compileSchema(schema, { allErrors: false })
    return validate(payload) ? unstorable(payload) : (validate.errors ?? []).map(inWords).join('; ').slice(0, MAX_LENGTH)
  }
}

/** What PostgreSQL could not hold would fail each attempt. */
function unstorable (payload: unknown): string | undefined {
  if (!isSuspect(JSON.stringify(payload))) return undefined
  let place: string | undefined
  JSON.stringify(payload, (key: string, value: unknown) => {
    if (!isStorable(key) || (typeof value === 'string' && !isStorable(value))) place ??= key
    return value
  })
  return place === undefined ? undefined : `payload must not contain NUL characters or unpaired surrogates (in ${JSON.stringify(place)})`
}

function inWords ({ instancePath, message = 'is not valid', params }: Fault): string {
  const extra = (params as { additionalProperty?: string } | undefined)?.additionalProperty
  return `payload${instancePath} ${message}${extra === undefined ? '' : ` (${JSON.stringify(extra)})`}`
}
