import { Registry, collectDefaultMetrics } from 'prom-client'

let registry: Registry | undefined

/**
 * Event loop, garbage collection, memory, CPU. These are of the process, not of an instance: they are
 * begun once, when they are first asked for, under the names that dashboards for Node.js know.
 */
export function processMetrics (): Registry {
  if (registry === undefined) {
    registry = new Registry()
    collectDefaultMetrics({ register: registry })
  }
  return registry
}
