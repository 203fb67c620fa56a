import { withOfflineApp } from './offline-app.ts'

/** The OpenAPI document of the service as JSON text, built the way the service is. */
export async function openapiDocument (): Promise<string> {
  return await withOfflineApp(fastify => `${JSON.stringify(fastify.swagger(), null, 2)}\n`)
}

/** The AsyncAPI document, the same way. */
export async function asyncapiDocument (): Promise<string> {
  return await withOfflineApp(fastify => `${JSON.stringify(fastify.asyncapi(), null, 2)}\n`)
}
