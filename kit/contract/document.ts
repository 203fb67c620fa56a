// What the contract gate reads of an OpenAPI document.

export interface Schema {
  $ref?: string
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
  items?: Schema
  oneOf?: Schema[]
  anyOf?: Schema[]
  allOf?: Schema[]
  [keyword: string]: unknown
}

export interface Parameter { name: string, in: string, required?: boolean, schema?: Schema }
export interface Content { [mediaType: string]: { schema?: Schema } }
export interface Response { content?: Content, headers?: Record<string, object> }

export interface Operation {
  deprecated?: boolean
  parameters?: Parameter[]
  requestBody?: { required?: boolean, content?: Content }
  responses?: Record<string, Response>
  security?: Record<string, string[]>[]
}

export interface Document {
  paths?: Record<string, Record<string, Operation>>
  components?: { schemas?: Record<string, Schema> }
  security?: Record<string, string[]>[]
}

/** A difference between two documents, at a place that people understand. */
export interface Change { breaking: boolean, at: string, what: string }

/** Where a schema is: what it describes, which way it goes, and the documents that its references are in. */
export interface Context { at: string, way: 'request' | 'response', before: Document, after: Document }

/** The schema itself, where it is a local reference. */
export function resolve (schema: Schema, document: Document): Schema {
  let target = schema
  for (let depth = 0; target.$ref !== undefined; depth++) {
    const name = /^#\/components\/schemas\/([^/]+)$/.exec(target.$ref)?.[1]
    const next = name === undefined ? undefined : document.components?.schemas?.[name]
    if (!next || depth > 20) throw new Error(`${target.$ref} is not in the document`)
    target = next
  }
  return target
}

/** Collects changes: `breaks` and `notes` say what at a place. */
export class Changes {
  readonly list: Change[] = []
  #met = new Set<string>()

  /** Whether a comparison has not been made before. */
  isFirst (comparison: string): boolean {
    const isFirst = !this.#met.has(comparison)
    this.#met.add(comparison)
    return isFirst
  }

  breaks (at: string, what: string): void { this.list.push({ breaking: true, at, what }) }
  notes (at: string, what: string): void { this.list.push({ breaking: false, at, what }) }
  add (breaking: boolean, at: string, what: string): void { this.list.push({ breaking, at, what }) }
}
