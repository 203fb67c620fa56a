import { withOfflineApp } from './offline-app.ts'

/** The documents of the service, as JSON text, built the way the service is. */
export async function documents (): Promise<{ openapi: string, asyncapi: string }> {
  return await withOfflineApp(fastify => ({ openapi: text(fastify.swagger()), asyncapi: text(fastify.asyncapi()) }))
}

function text (document: object): string {
  return `${JSON.stringify(document, null, 2)}\n`
}
