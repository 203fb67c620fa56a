import { PrismaMariaDb } from '@prisma/adapter-mariadb'
import type { IsolationLevel, SqlDriverAdapter, SqlDriverAdapterFactory, SqlQuery, Transaction } from '@prisma/driver-adapter-utils'
import type mariadb from 'mariadb'
import type { Pool } from './pool.ts'
import { UNLIMITED, limits } from './session.ts'
import { describeUrl } from './url.ts'

const RECORDS = /^\s*INSERT\s+(?:IGNORE\s+)?INTO\s+(?:[`"][^`"]+[`"]\.)?[`"]events[`"]/i
const LOCKS = /\bGET_LOCK\s*\(/i

/**
 * Prisma's adapter on a pool, which it closes, and what MySQL and MariaDB have no deferred triggers for: a transaction that
 * recorded events gives them their positions when it commits, and locks by name (GET_LOCK) end with their transaction.
 */
export function adapterOf (pool: Pool, url: string): SqlDriverAdapterFactory {
  const factory = new PrismaMariaDb(pool as unknown as mariadb.Pool, { database: describeUrl(url).database, disposeExternalPool: true })
  return {
    provider: factory.provider,
    adapterName: factory.adapterName,
    connect: async () => withCommits(await factory.connect())
  }
}

function withCommits (adapter: SqlDriverAdapter): SqlDriverAdapter {
  const startTransaction = async (level?: IsolationLevel) => withCommit(await adapter.startTransaction(level))

  /** A statement of its own that records events becomes a transaction. */
  async function alone<T> (query: SqlQuery, run: (to: Pick<Transaction, 'queryRaw' | 'executeRaw'>) => Promise<T>): Promise<T> {
    if (!RECORDS.test(query.sql)) return await run(adapter)
    const tx = await startTransaction()
    try {
      const result = await run(tx)
      await tx.commit()
      return result
    } catch (error) {
      await tx.rollback().catch(() => {})
      throw error
    }
  }

  return {
    provider: adapter.provider,
    adapterName: adapter.adapterName,
    queryRaw: async query => await alone(query, async to => await to.queryRaw(query)),
    executeRaw: async query => await alone(query, async to => await to.executeRaw(query)),
    executeScript: async script => await adapter.executeScript(script),
    startTransaction,
    ...adapter.getConnectionInfo === undefined ? {} : { getConnectionInfo: adapter.getConnectionInfo.bind(adapter) },
    dispose: async () => await adapter.dispose()
  }
}

function withCommit (tx: Transaction): Transaction {
  let records = false
  /** What puts the session back to what it was, for whoever gets the connection next. */
  const after = new Set<string>()
  const note = ({ sql }: SqlQuery) => {
    records ||= RECORDS.test(sql)
    if (LOCKS.test(sql)) after.add('DO RELEASE_ALL_LOCKS()')
    if (limits(sql)) after.add(UNLIMITED)
  }

  /** Ends the transaction while its connection is still ours, and then its locks: whoever gets one sees what was written. */
  async function end (how: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    if (after.size > 0) for (const sql of [how, ...after]) await tx.executeRaw(statement(sql))
  }

  return {
    provider: tx.provider,
    adapterName: tx.adapterName,
    options: tx.options,
    queryRaw: async query => {
      note(query)
      return await tx.queryRaw(query)
    },
    executeRaw: async query => {
      note(query)
      return await tx.executeRaw(query)
    },
    commit: async () => {
      try {
        if (records) await placeEvents(tx)
        await end('COMMIT')
      } catch (error) {
        await end('ROLLBACK').catch(() => {})
        await tx.rollback().catch(() => {})
        throw error
      }
      await tx.commit()
    },
    rollback: async () => {
      await end('ROLLBACK').catch(() => {})
      await tx.rollback()
    },
    createSavepoint: async name => await tx.createSavepoint?.(name),
    rollbackToSavepoint: async name => await tx.rollbackToSavepoint?.(name),
    releaseSavepoint: async name => await tx.releaseSavepoint?.(name)
  }
}

/**
 * Gives the events of a transaction their positions, in the order in which they were recorded (their ids are UUIDv7). The
 * row that says which was the last is locked from here to the commit: positions become visible one after the other.
 */
async function placeEvents (tx: Transaction): Promise<void> {
  // Others' have theirs before they can be seen.
  const { rows } = await tx.queryRaw(statement('SELECT id FROM events WHERE position IS NULL ORDER BY id'))
  const ids = rows.map(([id]) => String(id))
  if (ids.length === 0) return
  const { lastInsertId } = await tx.queryRaw(statement('UPDATE event_positions SET last = LAST_INSERT_ID(last + ?) WHERE id = 1', [ids.length]))
  const before = BigInt(lastInsertId ?? 0) - BigInt(ids.length)
  const marks = ids.map(() => '?').join(', ')
  await tx.executeRaw(statement(`UPDATE events SET position = ? + FIELD(id, ${marks}) WHERE id IN (${marks})`, [before, ...ids, ...ids]))
}

function statement (sql: string, args: unknown[] = []): SqlQuery {
  return { sql, args, argTypes: args.map(() => ({ scalarType: 'unknown', arity: 'scalar' })) }
}
