// What the generator reads of openapi.json.
import { readFileSync } from 'node:fs'

export interface Schema {
  $ref?: string
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  format?: string
  pattern?: string
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  items?: Schema
  minItems?: number
  maxItems?: number
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
}

export interface Parameter { name: string, in: 'path' | 'query' | 'header', required?: boolean, schema: Schema }

export interface Operation {
  operationId: string
  method: string
  path: string
  parameters: Parameter[]
  requestBody?: { content: Record<string, { schema: Schema }> }
  responses: Record<string, object>
}

interface Document { paths: Record<string, Record<string, Omit<Operation, 'method' | 'path' | 'parameters'> & { parameters?: Parameter[] }>>, components: { schemas: Record<string, Schema> } }

export const document = JSON.parse(readFileSync('openapi.json', 'utf8')) as Document

export const operations: Operation[] = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ parameters: [], ...operation, method: method.toUpperCase(), path })))

/** The schema itself, where it is given by its name. */
export function resolve (schema: Schema): Schema {
  const name = schema.$ref?.split('/').at(-1)
  return name === undefined ? schema : resolve(document.components.schemas[name] ?? {})
}

/** The type of a schema; of several, the first. */
export function typeOf ({ type, properties, items }: Schema): string {
  return [type].flat()[0] ?? (properties ? 'object' : items ? 'array' : 'string')
}
