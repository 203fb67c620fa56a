import compress from '@fastify/compress'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

const THRESHOLD_BYTES = 1024
const COMPRESSIBLE = /^text\/(?!event-stream)|[+/](?:json|text|xml)(?:;|$)|octet-stream(?:;|$)/
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
    customTypes: COMPRESSIBLE,
    encodings: [...ENCODINGS],
    requestEncodings: [...ENCODINGS],
    globalDecompression: false
  })
  fastify.addHook('onRoute', route => {
    const readsBody = Boolean(route.schema?.body ?? route.schema?.consumes)
    if (route.compress !== false) route.onSend = [...[route.onSend ?? []].flat(), sayThatItVaries]
    if (readsBody && typeof route.decompress !== 'object') route.preParsing = [...[route.preParsing ?? []].flat(), refuseEncoded]
  })
}

/**
 * Says of what is compressed for some that it is not the same for all (RFC 9110, 12.5.5), and
 * of a HEAD no length that its GET would not have. Behind the hook that compresses.
 */
function sayThatItVaries (request: FastifyRequest, reply: FastifyReply, payload: unknown, done: () => void): void {
  if (!COMPRESSIBLE.test(String(reply.getHeader('content-type')))) return done()
  const length = typeof payload === 'string' || Buffer.isBuffer(payload) ? Buffer.byteLength(payload) : Number(reply.getHeader('content-length') ?? Infinity)
  if (length < THRESHOLD_BYTES && !reply.hasHeader('content-encoding')) return done()
  const vary = String(reply.getHeader('vary') ?? '')
  if (!/accept-encoding|\*/i.test(vary)) reply.header('vary', vary === '' ? 'accept-encoding' : `${vary}, accept-encoding`)
  if (request.method === 'HEAD' && request.headers['accept-encoding'] !== undefined) reply.removeHeader('content-length')
  done()
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
