import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { asyncapiDocument, type Info } from './document.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The AsyncAPI 3 document of the WebSockets; once the service is ready. */
    asyncapi: () => object
  }
}

export interface AsyncapiOptions { info?: Info }

/** The AsyncAPI document at /asyncapi.json (DOCS=off hides it). */
async function asyncapi (fastify: FastifyInstance, { info = { title: 'Service', version: '0.0.0' } }: AsyncapiOptions) {
  let document: object | undefined
  fastify.decorate('asyncapi', () => {
    document ??= asyncapiDocument(info, fastify.sockets.routes)
    return document
  })
  if (fastify.config.DOCS === 'off') return
  fastify.get('/asyncapi.json', { config: { public: true }, schema: { hide: true } }, async () => fastify.asyncapi())
}

export default fp(asyncapi, { name: 'asyncapi', dependencies: ['config', 'websocket'] })
