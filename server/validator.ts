import { AjvCompiler } from '@fastify/ajv-compiler'
import { compiledOnce } from './compiled.ts'

type Schema = Record<string, unknown>
type BuildValidator = ReturnType<typeof AjvCompiler>
type Validator = ReturnType<ReturnType<BuildValidator>>

/** Up to this many values, every fault is reported; beyond, the first: collecting costs memory the client would choose. */
const REPORT_ALL_UP_TO = 1000

const quickFactory = AjvCompiler()
const fullFactory = AjvCompiler()
const factory = AjvCompiler()
const compiled = compiledOnce<Validator>()

/** Where a value does not fit its schema. */
export interface Fault { instancePath: string, message?: string, params?: object }
export type Validate = ((value: unknown) => boolean) & { errors?: Fault[] | null }

/**
 * Compiles a schema for what is no request: a job's payload, another service's answer. As of bodies, nothing is
 * coerced or removed; nor is anything filled in.
 */
export function compileSchema (schema: object, { allErrors }: { allErrors: boolean }): Validate {
  return factory({}, { customOptions: { allErrors, coerceTypes: false, removeAdditional: false, useDefaults: false, strict: false } })({ schema } as never) as unknown as Validate
}

/**
 * Builds the validators of request input. Bodies are taken as they are: nothing
 * is coerced, unknown fields are errors. Query, params and headers are text, so
 * numbers and booleans are read from their canonical spelling only ("5", not "5 " or "0x5").
 */
export const buildValidator: BuildValidator = (externalSchemas) => {
  const options = { coerceTypes: false, removeAdditional: false, useDefaults: true, strict: false, validateFormats: true } as const
  const quick = quickFactory(externalSchemas, { customOptions: { ...options, allErrors: false } })
  const full = fullFactory(externalSchemas, { customOptions: { ...options, allErrors: true } })
  const context = JSON.stringify(externalSchemas)
  return (route) => {
    const { httpPart, schema } = route as unknown as { httpPart?: string, schema: Schema }
    return compiled(schema, `${httpPart} ${context}`, () => build(httpPart, schema))
  }

  function build (httpPart: string | undefined, given: Schema): Validator {
    // Node gives header names in lower case; Fastify spells schemas so only for its own compiler.
    const schema = httpPart === 'headers' ? lowerCased(given) : given
    const check = quick({ schema } as never)
    // Compiled when the first input fails: it takes memory, and most routes never need it.
    let explain: typeof check | undefined
    const convert = httpPart === 'body' ? undefined : converter(schema)
    const validate = (data: unknown): boolean => {
      convert?.(data)
      if (check(data) as boolean) return true
      result.errors = check.errors
      if (isSmall(data)) {
        explain ??= full({ schema } as never)
        if (!(explain(data) as boolean)) result.errors = explain.errors
      }
      return false
    }
    const result = validate as unknown as typeof check
    return result
  }
}

function lowerCased (schema: Schema): Schema {
  const properties = Object.entries(schema.properties ?? {}).map(([name, value]) => [name.toLowerCase(), value])
  const required = (schema.required as string[] | undefined)?.map(name => name.toLowerCase())
  return { ...schema, properties: Object.fromEntries(properties), ...required ? { required } : {} }
}

const INTEGER = /^-?(?:0|[1-9]\d*)$/
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/

const readers: Record<string, (text: string) => unknown> = {
  integer: text => INTEGER.test(text) ? Number(text) : text,
  number: text => NUMBER.test(text) ? Number(text) : text,
  boolean: text => ({ true: true, false: false })[text] ?? text,
  array: text => [text]
}

/** What turns the texts of query, params or headers into the types that the schema asks for. */
function converter (schema: Schema): ((data: unknown) => void) | undefined {
  const properties = Object.entries(schema.properties ?? {}) as [string, Schema][]
  const convertible = properties.flatMap(([name, { type }]) => {
    const read = readers[String(type)]
    return read ? [[name, read] as const] : []
  })
  if (convertible.length === 0) return undefined
  return data => {
    const values = data as Record<string, unknown>
    for (const [name, read] of convertible) {
      const value = values[name]
      if (typeof value === 'string') values[name] = read(value)
    }
  }
}

function isSmall (data: unknown): boolean {
  const todo = [data]
  for (let count = 0; count <= REPORT_ALL_UP_TO; count++) {
    const value = todo.pop()
    if (typeof value === 'object' && value !== null) {
      if (Array.isArray(value) && value.length > REPORT_ALL_UP_TO) return false
      const children = Object.values(value)
      if (children.length > REPORT_ALL_UP_TO) return false
      todo.push(...children)
    }
    if (todo.length === 0) return true
  }
  return false
}
