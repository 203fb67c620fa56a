import type { FastifyInstance } from 'fastify'
import { Counter, type Registry } from 'prom-client'
import { hear } from './channel.ts'

/** Attempts to sign in. */
export function observeLogins (fastify: FastifyInstance, registry: Registry): void {
  const logins = new Counter({ name: 'logins_total', help: 'Attempts to sign in, by how they ended: done, refused, throttled, busy, error', labelNames: ['outcome'], registers: [registry] })
  // For Prometheus a rise from nothing is no rise.
  for (const outcome of ['done', 'refused', 'throttled', 'busy', 'error']) logins.inc({ outcome }, 0)
  hear<{ outcome: string }>(fastify, 'keel:login', ({ outcome }) => logins.inc({ outcome }))
}
