import type { TSchema } from 'typebox'
import { isStorable, isSuspect } from './storable.ts'
import { compileSchema, type Fault, type Validate } from './validator.ts'

/**
 * Checks payloads against a schema as the validators of requests do. Nothing is coerced,
 * no default filled in: what is stored is what was sent.
 * @param allErrors whether all faults are told: how many there are may be for strangers to choose
 * @returns what gives the faults of a payload in words, or undefined
 */
export function payloadCheck (schema: TSchema, { allErrors }: { allErrors: boolean }): (payload: unknown) => string | undefined {
  // Compiled with the first payload: many processes never see one.
  let validate: Validate | undefined
  return payload => {
    validate ??= compileSchema(schema, { allErrors })
    return validate(payload) ? unstorable(payload) : (validate.errors ?? []).map(inWords).join('; ').slice(0, 1000)
  }
}

/** The database would refuse such text with an error of its own, and the transaction with it. */
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
