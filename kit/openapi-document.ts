import { generateKeyPairSync } from 'node:crypto'
import Fastify from 'fastify'
import app from '../app.ts'
import { loadConfig } from '../plugins/config/index.ts'
import { serverOptions } from '../server.ts'

/**
 * The OpenAPI document of the service as JSON text, built the way the service is.
 * It depends on the code alone: no environment, and a database that is never asked.
 */
export async function openapiDocument (): Promise<string> {
  const config = loadConfig({
    NODE_ENV: 'test',
    LOG_LEVEL: 'silent',
    DATABASE_URL: 'postgresql://localhost/never-asked',
    JWT_PRIVATE_KEY: String(generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }))
  })
  const fastify = Fastify(serverOptions(config))
  await fastify.register(app, { config })
  await fastify.ready()
  const text = `${JSON.stringify(fastify.swagger(), null, 2)}\n`
  await fastify.close()
  return text
}
