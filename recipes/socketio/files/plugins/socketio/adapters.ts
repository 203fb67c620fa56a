import type { FastifyBaseLogger } from 'fastify'
import type { Adapter } from 'socket.io-adapter'
import type { Namespace } from 'socket.io'
import { memoryPassage } from './memory-adapter.ts'
import type { Missed, Packet } from './recovery.ts'

/** How the processes pass messages to rooms on to each other. */
export interface Passage {
  create: (namespace: Namespace) => Adapter
  /** Whether clients that come back after a short loss are given what they missed. */
  recovers: boolean
  /** Where a new client begins in what is kept for those that come back, if that can be said. */
  offset: () => string | undefined
  /** Whether what is sent to one client is kept, too, so that the greeting says where it begins. */
  keepsAll: boolean
  /** What a client that has come back is to get now. */
  missed: (missed: Missed) => Packet[]
  /** Whether it works now. */
  isThere: () => boolean
  close: () => Promise<void>
}

export interface PassageOptions {
  kind: 'memory' | 'redis' | 'postgres'
  redisUrl: string | undefined
  databaseUrl: string
  /** Services that share a Redis or a database have names of their own. */
  name: string
  log: FastifyBaseLogger
  /** Messages may have been missed by all clients of this process. */
  onGap: () => void
}

/** Loads what the kind needs, and only that. */
export async function openPassage (options: PassageOptions): Promise<Passage> {
  if (options.kind === 'redis') return await (await import('./redis-adapter.ts')).redisPassage(options)
  if (options.kind === 'postgres') return (await import('./postgres-adapter.ts')).postgresPassage(options)
  return memoryPassage()
}
