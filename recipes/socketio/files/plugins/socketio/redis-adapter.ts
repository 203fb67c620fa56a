import { setTimeout as sleep } from 'node:timers/promises'
import { createAdapter } from '@socket.io/redis-streams-adapter'
import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'
import { MessageType, type ClusterAdapter } from 'socket.io-adapter'
import { complaint, connectRedis } from '../../server/redis.ts'
import type { Passage, PassageOptions } from './adapters.ts'
import { concerns, setAside, type Packet, type Session } from './recovery.ts'
import { inSharedOrder } from './shared-order.ts'

const COMMAND_MS = 2_000
const AGAIN_MS = 1_000
/** Messages that are kept for clients that come back, of all rooms. */
const KEPT = 10_000
/** Of these, those that this process has read a moment ago: for who comes back just then. */
const RECENT = 1_000
const AWAY = 'Redis is away: messages to rooms are refused'

type Entry = [id: string, fields: string[]]

/** Through a stream of Redis (6.2 or later), from which a process that was away goes on where it was. */
export async function redisPassage ({ redisUrl, name, log }: PassageOptions): Promise<Passage> {
  if (redisUrl === undefined) throw new Error('SOCKETIO_ADAPTER is redis: set REDIS_URL')
  const stream = `keel:socketio:${name}`
  const writer = connectRedis(redisUrl, log, AWAY, { maxRetriesPerRequest: 0, enableOfflineQueue: false, commandTimeout: COMMAND_MS })
  const failing = complaint(writer, log, 'messages to rooms can\'t be passed on through Redis')
  const readers: Redis[] = []
  leaveAlone(writer, 'set')
  leaveAlone(writer, 'publish')
  let last: string | undefined
  const recent: Entry[] = []

  // What the adapter reads with waits for as long as it takes.
  writer.duplicate = () => {
    const reader = connectRedis(redisUrl, log, 'Redis is away: messages to rooms come when it is back', { maxRetriesPerRequest: null })
    const hearing = complaint(reader, log, 'messages to rooms can\'t be read from Redis')
    leaveAlone(reader, 'subscribe')
    const read = reader.xread.bind(reader) as (...args: unknown[]) => Promise<[string, Entry[]][] | null>
    // Asked for what comes "from now on" again and again, it would miss what comes in between.
    reader.xread = (async (...args: unknown[]) => {
      const found = await (async () => {
        if (args.at(-1) === '$') args[args.length - 1] = last ??= await endOf(reader, stream)
        return await read(...args)
      })().catch(async error => {
        hearing.failed(error)
        // The library asks again at once.
        await sleep(AGAIN_MS, undefined, { ref: false })
        throw error
      })
      hearing.worked()
      const entries = found?.[0]?.[1] ?? []
      last = entries.at(-1)?.[0] ?? last
      recent.push(...entries)
      recent.splice(0, recent.length - RECENT)
      return found
    }) as typeof reader.xread
    readers.push(reader)
    return reader
  }
  const create = createAdapter(writer, { streamName: stream, channelPrefix: stream, sessionKeyPrefix: `${stream}:session:`, maxLen: KEPT, blockTimeInMs: 2_000 }) as (namespace: never) => ClusterAdapter

  return {
    create: namespace => inSharedOrder(withFailures(create(namespace as never), log), failing.failed),
    keepsAll: false,
    recovers: true,
    offset: () => last,
    missed: ({ rooms, offset, packets }) => {
      const end = packets.at(-1)?.at(-1) as string | undefined ?? offset
      const since = recent.filter(([id]) => isBehind(id, end)).flatMap(entry => packetsOf(entry, rooms))
      // What this process has not read yet comes when it does.
      return [...packets, ...since].filter(packet => last === undefined || !isBehind(packet.at(-1) as string, last))
    },
    isThere: () => writer.status === 'ready' && last !== undefined && readers.every(({ status }) => status === 'ready'),
    close: async () => {
      for (const redis of [writer, ...readers]) redis.disconnect()
    }
  }
}

/** The last message of a stream. There is one, or else nobody could come back to where it was. */
async function endOf (redis: Redis, stream: string): Promise<string> {
  const [entry] = await redis.xrevrange(stream, '+', '-', 'COUNT', 1)
  return entry?.[0] ?? await redis.xadd(stream, '*', 'begin', '1') ?? '0-0'
}

/** Of some commands the library does not look at the outcome: a rejection that nobody has would end the process. */
function leaveAlone (redis: Redis, name: 'set' | 'publish' | 'subscribe'): void {
  const command = redis[name].bind(redis) as (...args: unknown[]) => Promise<unknown>
  Object.assign(redis, { [name]: async (...args: unknown[]) => await command(...args).catch(() => null) })
}

/** Whether an entry comes behind another: ids are milliseconds and a number. */
function isBehind (id: string, other: string): boolean {
  const [[time = 0, count = 0], [otherTime = 0, otherCount = 0]] = [id.split('-').map(Number), other.split('-').map(Number)]
  return time > otherTime || (time === otherTime && count > otherCount)
}

/** The event of an entry, if there is one and it concerns who is in these rooms. */
function packetsOf ([id, fields]: Entry, rooms: string[]): Packet[] {
  const entry = Object.fromEntries(Array.from({ length: fields.length / 2 }, (_, n) => [fields[2 * n], fields[2 * n + 1]])) as { nsp?: string, type?: string, data?: string }
  if (entry.nsp !== '/' || entry.type !== String(MessageType.BROADCAST)) return []
  try {
    const { packet, opts } = JSON.parse(entry.data ?? '') as { packet: { data: Packet }, opts: { rooms: string[], except: string[] } }
    return concerns(rooms, opts) ? [[...packet.data, id]] : []
  } catch {
    // It is none of ours.
    return []
  }
}

interface Open { onRawMessage: (entry: unknown, offset: string) => void, restoreSession: (pid: string, offset: string) => Promise<unknown> }

/** A message that is none stops nothing, and with Redis away no client can come back to where it was: it begins anew. */
function withFailures (adapter: ClusterAdapter, log: FastifyBaseLogger): ClusterAdapter {
  const open = adapter as unknown as Open
  const { onRawMessage, restoreSession } = open
  open.onRawMessage = (entry, offset) => {
    try {
      onRawMessage.call(adapter, entry, offset)
    } catch (error) {
      // The library would read the same entry again and again.
      log.warn({ err: error, offset }, 'what is in the stream of Redis is no message to a room: it is passed over')
    }
  }
  open.restoreSession = async (pid, offset) => {
    const session = await restoreSession.call(adapter, pid, offset).catch(() => null) as Session | null
    return session === null ? null : setAside(session, offset)
  }
  return adapter
}
