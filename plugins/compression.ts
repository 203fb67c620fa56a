import compress from '@fastify/compress'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

const THRESHOLD_BYTES = 1024

/**
 * Compresses text and JSON by Accept-Encoding. Event streams are left alone: they
 * must flush. A route opts out with `compress: false`.
 */
async function compression (fastify: FastifyInstance) {
  await fastify.register(compress, {
    threshold: THRESHOLD_BYTES,
    encodings: ['br', 'zstd', 'gzip'],
    requestEncodings: ['br', 'zstd', 'gzip']
  })
}

export default fp(compression, { name: 'compression' })
