import { isUtf8 } from 'node:buffer'
import { parse } from 'node:querystring'
import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { isSuspect } from '../../server/storable.ts'
import { checkMediaType, dropBody } from './media-type.ts'
import { unstorable } from './text.ts'

const MAX_BODY_BYTES = 10 * 1024 * 1024
const MAX_FORM_FIELDS = 1000
const JSON_TYPE = 'application/json'
const MERGE_PATCH_TYPE = 'application/merge-patch+json'
const FORM_TYPE = 'application/x-www-form-urlencoded'

/**
 * Request bodies: JSON (strict UTF-8, no `__proto__`), JSON merge patch and
 * urlencoded forms. A route takes JSON unless `schema.consumes` says otherwise, and
 * reads no body at all when it has neither that nor `schema.body`.
 * What PostgreSQL's text can't hold (NUL, half a surrogate pair) is refused here.
 */
async function body (fastify: FastifyInstance) {
  const parseJson = fastify.getDefaultJsonParser('error', 'error')
  const suspects = new WeakSet<FastifyRequest>()
  for (const type of [JSON_TYPE, MERGE_PATCH_TYPE]) {
    fastify.addContentTypeParser(type, { parseAs: 'buffer' }, (request, bytes: Buffer, done) => {
      if (!isUtf8(bytes)) return done(badRequest('The request body is not valid UTF-8.'))
      const text = bytes.toString('utf8')
      if (isSuspect(text)) suspects.add(request)
      parseJson(request, text, done)
    })
  }
  await fastify.register(formbody, { parser: parseForm })
  // Reached by the bodies alone that no route reads: Node drops them.
  fastify.addContentTypeParser('*', (_request, _payload, done) => done(null))

  fastify.addHook('onRoute', route => {
    const limit = route.bodyLimit ?? fastify.config.BODY_LIMIT
    if (limit > MAX_BODY_BYTES) throw new Error(`${route.method} ${route.url}: bodyLimit is above 10 MiB; stream larger uploads`)
    // Before the body is read, but behind the guard.
    const hooks = [route.preParsing ?? []].flat()
    if (route.schema?.body) {
      route.schema.consumes ??= [JSON_TYPE]
      fastify.declareProblems(route, 413, 415)
      route.preParsing = [...hooks, checkMediaType(route, route.schema.consumes)]
    } else if (!route.schema?.consumes) {
      route.preParsing = [...hooks, (request, _reply, _payload, done) => {
        dropBody(request)
        done()
      }]
    }
  })
  // Whatever comes with a path that does not exist: 404.
  fastify.addHook('preParsing', (request, _reply, _payload, done) => {
    if (request.is404) dropBody(request)
    // Of QUERY Fastify wants to know a type before it looks whether there is such a route.
    if (request.is404 && request.method === 'QUERY') request.headers['content-type'] = 'application/octet-stream'
    done()
  })

  // Behind the validation: what it lets through is small.
  fastify.addHook('preHandler', (request, _reply, done) => {
    const mayOffend = suspects.has(request) || request.mediaType === FORM_TYPE
    done(unstorable('query', request.query) ?? unstorable('params', request.params) ?? (mayOffend ? unstorable('body', request.body) : undefined))
  })
}

function parseForm (text: string): Record<string, unknown> {
  if (text.split('&', MAX_FORM_FIELDS + 1).length > MAX_FORM_FIELDS) throw badRequest(`The form has more than ${MAX_FORM_FIELDS} fields.`)
  return parse(text)
}

function badRequest (message: string): Error {
  return Object.assign(new Error(message), { statusCode: 400, code: 'FST_ERR_CTP_INVALID_JSON_BODY' })
}

export default fp(body, { name: 'body', dependencies: ['config', 'errors'] })
