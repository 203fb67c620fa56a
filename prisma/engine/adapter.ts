// The driver adapter of the schema engine. @prisma/adapter-pg is made for queries:
// it cuts a script at every semicolon (function bodies, strings), spreads
// statements over a pool (an advisory lock is a session's) and rejects the type
// "char" of the catalogue. Here a target is one connection and a script one query.
import { ColumnTypeEnum, DriverAdapterError } from '@prisma/driver-adapter-utils'
import type { ColumnType, SqlDriverAdapter, SqlMigrationAwareDriverAdapterFactory, SqlQuery, SqlResultSet, Transaction } from '@prisma/driver-adapter-utils'
import { toDriverError, toScriptError } from './adapter-errors.ts'
import type { Link, Target } from './target.ts'

const INFO = { provider: 'postgres', adapterName: 'keel-schema-engine' } as const

/** Object ids of the types that the catalogue and `_prisma_migrations` have; others are read as text. */
const TYPES: Record<number, ColumnType> = {
  16: ColumnTypeEnum.Boolean,
  // "char": as Text the engine panics on PostgreSQL 18.
  18: ColumnTypeEnum.Character,
  20: ColumnTypeEnum.Int64,
  21: ColumnTypeEnum.Int32,
  23: ColumnTypeEnum.Int32,
  26: ColumnTypeEnum.Int64,
  700: ColumnTypeEnum.Float,
  701: ColumnTypeEnum.Double,
  1184: ColumnTypeEnum.DateTime,
  1002: ColumnTypeEnum.CharacterArray,
  1003: ColumnTypeEnum.TextArray,
  1005: ColumnTypeEnum.Int32Array,
  1007: ColumnTypeEnum.Int32Array,
  1009: ColumnTypeEnum.TextArray,
  1015: ColumnTypeEnum.TextArray,
  1016: ColumnTypeEnum.Int64Array,
  1028: ColumnTypeEnum.Int64Array
}

/**
 * Connects the engine to a target; the shadow database is the target's too.
 * @param onFailure told why a connection could not be made: the engine says it worse
 */
export function adapterFactory (target: Target, onFailure: (error: unknown) => void): SqlMigrationAwareDriverAdapterFactory {
  const connected = async (connect: () => Promise<Link>): Promise<SqlDriverAdapter> => {
    try {
      return adapter(await connect(), target.url)
    } catch (error) {
      onFailure(error)
      throw new DriverAdapterError(toDriverError(error, target.url))
    }
  }
  return {
    ...INFO,
    connect: () => connected(target.connect),
    connectToShadowDb: () => connected(target.connectToShadow)
  }
}

function adapter ({ client, schema, end }: Link, url: string): SqlDriverAdapter {
  const run = async ({ sql, args }: SqlQuery) => {
    try {
      return await client.query<unknown[]>({ text: sql, values: args.map(toParameter), rowMode: 'array', types: { getTypeParser: parser } })
    } catch (error) {
      throw new DriverAdapterError(toDriverError(error, url))
    }
  }
  const queryRaw = async (query: SqlQuery): Promise<SqlResultSet> => {
    const { fields, rows } = await run(query)
    return {
      columnNames: fields.map(({ name }) => name),
      columnTypes: fields.map(({ dataTypeID }) => TYPES[dataTypeID] ?? ColumnTypeEnum.Text),
      rows
    }
  }
  const executeRaw = async (query: SqlQuery): Promise<number> => (await run(query)).rowCount ?? 0
  const command = async (sql: string): Promise<void> => { await run({ sql, args: [], argTypes: [] }) }

  return {
    ...INFO,
    queryRaw,
    executeRaw,
    executeScript: async (script) => {
      try {
        await client.query(script)
      } catch (error) {
        throw new DriverAdapterError(toScriptError(error, url, script))
      }
    },
    startTransaction: async (level): Promise<Transaction> => {
      await command(level ? `BEGIN ISOLATION LEVEL ${level}` : 'BEGIN')
      return { ...INFO, options: { usePhantomQuery: true }, queryRaw, executeRaw, commit: () => command('COMMIT'), rollback: () => command('ROLLBACK') }
    },
    getConnectionInfo: () => ({ schemaName: schema, supportsRelationJoins: true }),
    dispose: end
  }
}

// The engine reads texts: `pg` would make Dates and numbers of some.
const PARSERS: Record<number, (value: string) => unknown> = {
  16: (value) => value === 't',
  21: Number,
  23: Number,
  700: Number,
  701: Number,
  1184: (value) => value.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00')
}
const ARRAYS = new Set([1002, 1003, 1005, 1007, 1009, 1015, 1016, 1028])

function parser (oid: number): (value: string) => unknown {
  if (ARRAYS.has(oid)) return (value) => parseArray(value).map((item) => oid === 1005 || oid === 1007 ? Number(item) : item)
  return PARSERS[oid] ?? ((value) => value)
}

/** Reads PostgreSQL's text of a one-dimensional array: `{a,"b \"c\"",NULL}`. */
function parseArray (text: string): (string | null)[] {
  return [...text.slice(1, -1).matchAll(/"((?:[^"\\]|\\.)*)"|([^,]+)/gs)].map(([, quoted, plain]) => {
    if (quoted !== undefined) return quoted.replace(/\\(.)/gs, '$1')
    return plain === undefined || plain === 'NULL' ? null : plain
  })
}

function toParameter (value: unknown): unknown {
  return ArrayBuffer.isView(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value
}
