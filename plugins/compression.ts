import compress from '@fastify/compress'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

const THRESHOLD_BYTES = 1024
const ENCODINGS = ['br', 'zstd', 'gzip'] as const

/**
 * Compresses text and JSON by Accept-Encoding. Event streams are left alone: they
 * must flush. A route opts out with `compress: false`.
 *
 * Compressed request bodies are taken where a route opts in with `decompress: {}`: a few
 * bytes may stand for as much work as its `bodyLimit` allows. Elsewhere they are 415.
 */
async function compression (fastify: FastifyInstance) {
  fastify.addHook('onRequest', (request, _reply, done) => {
    normalizeEncoding(request)
    done()
  })
  await fastify.register(compress, {
    threshold: THRESHOLD_BYTES,
    encodings: [...ENCODINGS],
    requestEncodings: [...ENCODINGS],
    globalDecompression: false
  })
  fastify.addHook('onRoute', route => {
    const readsBody = Boolean(route.schema?.body ?? route.schema?.consumes)
    if (readsBody && typeof route.decompress !== 'object') route.preParsing = [...[route.preParsing ?? []].flat(), refuseEncoded]
  })
}

/** One spelling of each Content-Encoding (RFC 9110, 8.4.1): in lower case, x-gzip is gzip, identity is none. */
function normalizeEncoding ({ headers }: FastifyRequest): void {
  const given = headers['content-encoding']
  if (given === undefined) return
  const encodings = given.toLowerCase().split(',').map(name => name.trim().replace(/^x-gzip$/, 'gzip')).filter(name => name !== '' && name !== 'identity')
  if (encodings.length === 0) delete headers['content-encoding']
  else headers['content-encoding'] = encodings.join(', ')
}

function refuseEncoded (request: FastifyRequest, reply: FastifyReply, _payload: unknown, done: (error?: Error) => void): void {
  if (request.headers['content-encoding'] === undefined) return done()
  reply.header('accept-encoding', 'identity')
  done(Object.assign(new Error('This resource takes bodies without a Content-Encoding.'), { statusCode: 415 }))
}

export default fp(compression, { name: 'compression' })
