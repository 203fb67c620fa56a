import { readFileSync } from 'node:fs'
import { getOperationAST, getVariableValues, GraphQLError, NoSchemaIntrospectionCustomRule, OperationTypeNode, parse, specifiedRules, validate, type DocumentNode, type GraphQLSchema, type OperationDefinitionNode, type ValidationRule } from 'graphql'
import { refuseExcess, type Size } from './limits.ts'

/** Longer documents are read by nobody. */
export const MAX_DOCUMENT = 16 * 1024
export const parseOptions = { maxTokens: 2_000 }
export const validateOptions = { maxErrors: 20 }

const ID = /^sha256:([0-9a-f]{64})$/

/** How a client says what is to be run: the text, or the id of one that is kept here. */
export interface Asked {
  query?: string | undefined
  /** `sha256:` and the hash of the text (the draft for GraphQL over HTTP). */
  documentId?: string | undefined
  /** The hash as Apollo's clients send it: `persistedQuery.sha256Hash`. */
  extensions?: Record<string, unknown> | null | undefined
}

export interface DocumentsOptions {
  schema: GraphQLSchema
  /** The documents that are kept, by the SHA-256 of their text, as JSON. */
  file: string
  /** Whether these are the only ones. */
  onlyPersisted: boolean
  introspection: boolean
  most: Size
}

/** The documents that may be run, and the limits of what they ask for. */
export class Documents {
  readonly #options: DocumentsOptions
  readonly #persisted: Map<string, string>
  /** What a document is held against beyond the rules that GraphQL has. */
  readonly rules: ValidationRule[]

  /** @throws Error when one that is kept does not fit the schema: it could never be run */
  constructor (options: DocumentsOptions) {
    this.#options = options
    this.#persisted = new Map(Object.entries(JSON.parse(readFileSync(options.file, 'utf8')) as Record<string, string>))
    this.rules = options.introspection ? [] : [NoSchemaIntrospectionCustomRule]
    for (const [hash, text] of this.#persisted) this.#refuseUnfit(hash, text)
  }

  /**
   * The text that a client asks to have run.
   * @throws what becomes PERSISTED_QUERY_NOT_FOUND, PERSISTED_QUERY_REQUIRED, VALIDATION_FAILED
   */
  textOf ({ query, documentId, extensions }: Asked): string {
    const id = documentId === undefined ? hashIn(extensions) : ID.exec(documentId)?.[1] ?? documentId
    if (id === undefined && this.#options.onlyPersisted) throw Object.assign(new Error('Send the id of a persisted query: others are not run here.'), { code: 'PERSISTED_QUERY_REQUIRED' })
    const text = id === undefined ? query : this.#persisted.get(id)
    if (id !== undefined && text === undefined) throw Object.assign(new Error('No query with this id is kept here.'), { code: 'PERSISTED_QUERY_NOT_FOUND' })
    if (text === undefined || text === '') throw missing()
    if (isJson(text)) throw new GraphQLError('Syntax Error: a document is text in the language of GraphQL, not JSON.')
    return text
  }

  /** Reads and validates a document as mercurius does; for what does not go through it. @throws GraphQLErrors, an array */
  read (text: string): DocumentNode {
    const document = parse(text, parseOptions)
    const errors = validate(this.#options.schema, document, [...specifiedRules, ...this.rules], validateOptions)
    if (errors.length > 0) throw new Invalid(errors)
    return document
  }

  /**
   * Lets an operation go on that may be run this way, and asks for no more than the limits allow.
   * @throws what becomes QUERY_TOO_COMPLEX, METHOD_NOT_ALLOWED, BAD_REQUEST, VALIDATION_FAILED
   */
  admit (document: DocumentNode, operationName: string | null | undefined, variables: Record<string, unknown>, by: 'GET' | 'POST' | 'socket'): OperationDefinitionNode {
    const operation = getOperationAST(document, operationName)
    if (operation == null) throw new GraphQLError(operationName == null ? 'Must provide operation name if query contains multiple operations.' : `Unknown operation named "${operationName}".`)
    const isSubscription = operation.operation === OperationTypeNode.SUBSCRIPTION
    if (by === 'socket' && !isSubscription) throw Object.assign(new Error('Only subscriptions come over the WebSocket: POST queries and mutations.'), { statusCode: 400 })
    if (by !== 'socket' && isSubscription) throw Object.assign(new Error('Subscriptions come over the WebSocket: connect with the subprotocol graphql-transport-ws.'), { statusCode: 400 })
    if (by === 'GET' && operation.operation === OperationTypeNode.MUTATION) throw Object.assign(new Error('A mutation is sent by POST.'), { statusCode: 405 })
    const { schema, most } = this.#options
    const { coerced, errors } = getVariableValues(schema, operation.variableDefinitions ?? [], variables)
    if (coerced === undefined) throw new Invalid(errors)
    refuseExcess({ schema, document, operation, variables: coerced }, most)
    return operation
  }

  #refuseUnfit (hash: string, text: string): void {
    try {
      this.read(text)
    } catch (error) {
      const errors = error instanceof Invalid ? error.errors : [error as Error]
      throw new Error(`the persisted query ${hash} does not fit the schema: ${errors.map(({ message }) => message).join('; ')}`)
    }
  }
}

/** What is wrong with a document by the rules of GraphQL. */
export class Invalid extends Error {
  readonly errors: readonly GraphQLError[]

  constructor (errors: readonly GraphQLError[]) {
    super('The document is not valid.')
    this.errors = errors
  }
}

function hashIn (extensions: Asked['extensions']): string | undefined {
  const { persistedQuery } = (extensions ?? {}) as { persistedQuery?: { sha256Hash?: unknown } }
  const hash = persistedQuery?.sha256Hash
  return typeof hash === 'string' ? hash : undefined
}

/** mercurius would take a syntax tree as JSON, too, and break on one that is none. No document of GraphQL is JSON. */
function isJson (text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** As a route says that a field of its body is missing. */
function missing (): Error {
  return Object.assign(new Error('There is no query.'), {
    statusCode: 400,
    validationContext: 'body',
    validation: [{ instancePath: '', keyword: 'required', params: { missingProperty: 'query' }, message: 'is required' }]
  })
}
