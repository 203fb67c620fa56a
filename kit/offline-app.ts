import { generateKeyPairSync } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import app from '../app.ts'
import { loadConfig } from '../plugins/config/index.ts'
import { serverOptions } from '../server.ts'

/**
 * Lets `look` at the service, built the way it is for a start and ready. It depends on
 * the code alone: no environment, and a database that is never asked.
 * @param before sees the server before the service is on it
 */
export async function withOfflineApp<T> (look: (fastify: FastifyInstance) => T, before: (fastify: FastifyInstance) => void = () => {}): Promise<T> {
  const config = loadConfig({
    NODE_ENV: 'test',
    LOG_LEVEL: 'silent',
    ROLE: 'web',
    DATABASE_URL: 'postgresql://localhost/never-asked',
    JWT_PRIVATE_KEY: String(generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }))
  })
  const fastify = Fastify(serverOptions(config)) as unknown as FastifyInstance
  try {
    before(fastify)
    await fastify.register(app, { config })
    await fastify.ready()
    return look(fastify)
  } finally {
    await fastify.close()
  }
}
