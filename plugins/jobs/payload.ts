import { AjvCompiler } from '@fastify/ajv-compiler'
import type { TSchema } from 'typebox'

interface Fault { instancePath: string, message?: string, params?: object }
type Validate = ((value: unknown) => boolean) & { errors?: Fault[] | null }

/** JSON that may hold what PostgreSQL's can't: of text only escapes can be NUL or half a surrogate pair. */
const SUSPECT = /\\u(?:0000|d[89a-f])/i

const factory = AjvCompiler()

/**
 * Checks payloads against a schema as the validators of requests do. Nothing is coerced,
 * no default filled in: what is stored is what was sent.
 * @returns what gives the faults of a payload in words, or undefined
 */
export function payloadCheck (schema: TSchema): (payload: unknown) => string | undefined {
  // Compiled with the first job: many processes never see one.
  let validate: Validate | undefined
  return payload => {
    validate ??= factory({}, { customOptions: { allErrors: true, coerceTypes: false, removeAdditional: false, useDefaults: false, strict: false } })({ schema } as never) as unknown as Validate
    return validate(payload) ? unstorable(payload) : (validate.errors ?? []).map(inWords).join('; ').slice(0, 1000)
  }
}

/** The database would refuse such text with an error of its own, and the transaction with it. */
function unstorable (payload: unknown): string | undefined {
  if (!SUSPECT.test(JSON.stringify(payload))) return undefined
  let place: string | undefined
  JSON.stringify(payload, (key: string, value: unknown) => {
    if (![key, value].every(isStorable)) place ??= key
    return value
  })
  return place === undefined ? undefined : `payload must not contain NUL characters or unpaired surrogates (in ${JSON.stringify(place)})`
}

function isStorable (value: unknown): boolean {
  return typeof value !== 'string' || (!value.includes('\0') && value.isWellFormed())
}

function inWords ({ instancePath, message = 'is not valid', params }: Fault): string {
  const extra = (params as { additionalProperty?: string } | undefined)?.additionalProperty
  return `payload${instancePath} ${message}${extra === undefined ? '' : ` ("${extra}")`}`
}
