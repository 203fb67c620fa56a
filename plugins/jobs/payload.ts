import { AjvCompiler } from '@fastify/ajv-compiler'
import type { TSchema } from 'typebox'

interface Fault { instancePath: string, message?: string, params?: object }
type Validate = ((value: unknown) => boolean) & { errors?: Fault[] | null }

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
    return validate(payload) ? undefined : (validate.errors ?? []).map(inWords).join('; ').slice(0, 1000)
  }
}

function inWords ({ instancePath, message = 'is not valid', params }: Fault): string {
  const extra = (params as { additionalProperty?: string } | undefined)?.additionalProperty
  return `payload${instancePath} ${message}${extra === undefined ? '' : ` ("${extra}")`}`
}
