import type { FastifyInstance, RouteOptions } from 'fastify'
import { withOfflineApp } from './offline-app.ts'

/**
 * A route and who may call it. `scopes` are those that an access token needs, none: any valid
 * token; it is null where `public` is true. `operationId` is null where OpenAPI does not show it.
 */
export interface Route { method: string, path: string, operationId: string | null, public: boolean, scopes: string[] | null }

/** Every route of the service, from the declaration that the guard and the OpenAPI document take theirs from. */
export async function routeList (): Promise<Route[]> {
  let routes = () => [] as Route[]
  return await withOfflineApp(() => routes(), fastify => { routes = collectRoutes(fastify) })
}

/**
 * Collects the routes of a server; call before there are any, read the result when it is ready.
 * HEAD comes with each GET and is not listed, nor is OPTIONS, which tells what is there.
 */
export function collectRoutes (fastify: FastifyInstance): () => Route[] {
  const collected: RouteOptions[] = []
  fastify.addHook('onRoute', route => { collected.push(route) })
  return () => collected.flatMap(routesOf).sort((a, b) => a.path < b.path || (a.path === b.path && a.method < b.method) ? -1 : 1)
}

function routesOf ({ method, url, schema, config }: RouteOptions): Route[] {
  const { operationId = null } = (schema ?? {}) as { operationId?: string | null }
  const isPublic = config?.public === true
  const caller = { public: isPublic, scopes: isPublic ? null : config?.scopes ?? [] }
  return [method].flat().filter(name => name !== 'HEAD' && name !== 'OPTIONS').map(name => ({ method: name, path: url, operationId, ...caller }))
}
