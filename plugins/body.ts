import { isUtf8 } from 'node:buffer'
import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { pointerToken } from './errors/problem.ts'

const MAX_BODY_BYTES = 10 * 1024 * 1024
const JSON_TYPE = 'application/json'
const MERGE_PATCH_TYPE = 'application/merge-patch+json'

/**
 * Request bodies: JSON (strict UTF-8, no `__proto__`), JSON merge patch and
 * urlencoded forms. A route takes JSON unless `schema.consumes` says otherwise.
 * What PostgreSQL's text can't hold (NUL, half a surrogate pair) is refused here.
 */
async function body (fastify: FastifyInstance) {
  const parseJson = fastify.getDefaultJsonParser('error', 'error')
  for (const type of [JSON_TYPE, MERGE_PATCH_TYPE]) {
    fastify.addContentTypeParser(type, { parseAs: 'buffer' }, (request, bytes: Buffer, done) => {
      if (!isUtf8(bytes)) return done(badRequest('The request body is not valid UTF-8.'))
      parseJson(request, bytes.toString('utf8'), done)
    })
  }
  await fastify.register(formbody)

  fastify.addHook('onRoute', route => {
    const limit = route.bodyLimit ?? fastify.config.BODY_LIMIT
    if (limit > MAX_BODY_BYTES) throw new Error(`${route.method} ${route.url}: bodyLimit is above 10 MiB; stream larger uploads`)
    if (!route.schema?.body) return
    route.schema.consumes ??= [JSON_TYPE]
    fastify.declareProblems(route, 413, 415)
    const check = checkMediaType(route, route.schema.consumes)
    // Before the body is read, but behind the guard.
    route.preParsing = [...[route.preParsing ?? []].flat(), check]
  })

  fastify.addHook('preValidation', (request, _reply, done) => {
    done(unstorable('query', request.query) ?? unstorable('params', request.params) ?? unstorable('body', request.body))
  })
}

function checkMediaType (route: RouteOptions, consumes: readonly string[]) {
  return (request: FastifyRequest, _reply: unknown, _payload: unknown, done: (error?: Error) => void): void => {
    const given = request.headers['content-type']
    const [type = '', ...parameters] = (given ?? '').toLowerCase().split(';').map(part => part.trim().replaceAll('"', ''))
    const inUtf8 = parameters.every(parameter => !parameter.startsWith('charset=') || /^charset=utf-?8$/.test(parameter))
    if (given === undefined ? !hasBody(request) : consumes.includes(type) && inUtf8) return done()
    done(Object.assign(new Error(`${route.url} takes ${consumes.join(' or ')}${inUtf8 ? '' : ' in UTF-8'}.`), { statusCode: 415 }))
  }
}

function hasBody ({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/** The error for the first string that PostgreSQL could not store as it is. Walks without recursion: depth is the client's choice. */
function unstorable (part: string, root: unknown): Error | undefined {
  if (root === undefined || root === null) return undefined
  const todo: { value: unknown, path: string }[] = [{ value: root, path: '' }]
  for (let next = todo.pop(); next; next = todo.pop()) {
    const { value, path } = next
    if (typeof value === 'string' && (value.includes('\0') || !value.isWellFormed())) {
      return Object.assign(new Error('unstorable text'), {
        statusCode: 400,
        validationContext: part,
        validation: [{ instancePath: path, keyword: 'text', params: {}, message: 'must not contain NUL characters or unpaired surrogates' }]
      })
    }
    if (typeof value === 'object' && value !== null) {
      for (const [key, child] of Object.entries(value)) todo.push({ value: child, path: `${path}/${pointerToken(key)}` })
    }
  }
  return undefined
}

function badRequest (message: string): Error {
  return Object.assign(new Error(message), { statusCode: 400, code: 'FST_ERR_CTP_INVALID_JSON_BODY' })
}

export default fp(body, { name: 'body', dependencies: ['config', 'errors'] })
