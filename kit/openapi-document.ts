import { jsonText } from './json.ts'
import { withOfflineApp } from './offline-app.ts'

/** The documents of the service, as JSON text, built the way the service is. */
export async function documents (): Promise<{ openapi: string, asyncapi: string }> {
  return await withOfflineApp(fastify => ({ openapi: jsonText(fastify.swagger()), asyncapi: jsonText(fastify.asyncapi()) }))
}
