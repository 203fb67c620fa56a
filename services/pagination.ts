import { Prisma } from '../prisma/generated/client.ts'
import { behind, holdsText, type Kind } from './dialect.ts'
import { DomainError } from './errors.ts'

export const DEFAULT_LIMIT = 20
export const MAX_LIMIT = 100

/** A part of a list. `nextCursor` leads to the next part; null at the end. */
export interface Page<T> { items: T[], nextCursor: string | null }

/** Which part of a list, in which order; `-` before a sort name turns the order round. */
export interface PageQuery<Sort extends string = string> { sort?: Sort, limit?: number, cursor?: string }

/** What a list can be sorted by: a column that is never null, what kind of values it has, and the value of an item. */
export interface SortKey<T> { column: string, kind: Kind, value: (item: T) => Value }

type Value = string | number | Date
type Position = readonly [list: string, sort: string, value: Exclude<Value, Date>, id: string]

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const MAX_INT = 2_147_483_647

/** For each kind of column whether a value from a cursor is one that it can hold. */
const holds: Record<Kind, (value: unknown) => boolean> = {
  text: value => typeof value === 'string' && holdsText(value),
  integer: value => Number.isInteger(value) && Math.abs(value as number) <= MAX_INT,
  time: value => typeof value === 'string' && TIME.test(value) && isTime(value)
}

/**
 * Keyset pagination of one list: pages go on from the last row that was seen, by
 * the sort column and then the id, so rows that come and go in between neither
 * repeat nor hide others, and a late page costs what the first does.
 * @param list its name; a cursor of another list is refused
 * @param keys what it may be sorted by. Each column needs an index with the id behind it.
 */
export function keyset<T extends { id: string }, Name extends string> (list: string, keys: Record<Name, SortKey<T>>) {
  type Sort = Name | `-${Name}`
  const names = Object.keys(keys) as Name[]

  function keyOf (sort: Sort): SortKey<T> {
    return keys[sort.replace(/^-/, '') as Name]
  }

  return {
    /** The sort names, for the schema of the query. */
    sorts: names.flatMap((name): Sort[] => [name, `-${name}`]),

    /**
     * The SQL of a page: put `after` into the WHERE, `by` behind ORDER BY, `take` behind LIMIT.
     * @throws DomainError INVALID_CURSOR
     */
    seek (sort: Sort, { cursor, limit = DEFAULT_LIMIT }: PageQuery): { after: Prisma.Sql, by: Prisma.Sql, take: number } {
      const { column, kind } = keyOf(sort)
      const isDescending = sort.startsWith('-')
      const by = Prisma.raw(isDescending ? `${column} DESC, id DESC` : `${column}, id`)
      if (cursor === undefined) return { after: Prisma.sql`TRUE`, by, take: limit + 1 }
      const [, , value, id] = decode(cursor, list, sort, kind)
      return { after: behind(column, kind, isDescending, value, id), by, take: limit + 1 }
    },

    /** The page of the rows that came: one more than the limit means that the list goes on. */
    page (items: T[], sort: Sort, { limit = DEFAULT_LIMIT }: PageQuery): Page<T> {
      const last = items.length > limit ? items[limit - 1] : undefined
      return { items: items.slice(0, limit), nextCursor: last === undefined ? null : encode([list, sort, plain(keyOf(sort).value(last)), last.id]) }
    }
  }
}

/** Dates alone that exist: `Date.parse` takes 30 February, and PostgreSQL has no year 0. */
function isTime (text: string): boolean {
  const time = new Date(text)
  return !Number.isNaN(time.getTime()) && time.toISOString() === text && time.getUTCFullYear() > 0
}

function plain (value: Value): string | number {
  return value instanceof Date ? value.toISOString() : value
}

function encode (position: Position): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url')
}

function decode (cursor: string, list: string, sort: string, kind: Kind): Position {
  const bytes = Buffer.from(cursor, 'base64url')
  const position = bytes.toString('base64url') === cursor ? parse(bytes) : undefined
  if (Array.isArray(position) && position.length === 4) {
    const [ofList, ofSort, value, id] = position
    if (ofList === list && ofSort === sort && holds[kind](value) && typeof id === 'string' && UUID.test(id)) return position as unknown as Position
  }
  throw new DomainError('INVALID_CURSOR', 'The cursor does not belong to this list in this order: start again without it.')
}

function parse (bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}
