import { holdsText, type Kind } from './dialect.ts'
import { DomainError } from './errors.ts'

/** A value of a field that a list is sorted by. */
export type CursorValue = string | number | Date

/** A place in a list: behind the item that has this value and id. Times are in RFC 3339. */
export interface Place { value: string | number, id: string }

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const MAX_INT = 2_147_483_647

/** Whether a value from a cursor is one that a database can hold. */
const kinds: Record<Kind, (value: unknown) => boolean> = {
  text: value => typeof value === 'string' && holdsText(value),
  integer: value => Number.isInteger(value) && Math.abs(value as number) <= MAX_INT,
  time: value => typeof value === 'string' && TIME.test(value) && isTime(value)
}

/** The cursor that leads on from an item of a list in an order. */
export function encodeCursor (list: string, sort: string, value: CursorValue, id: string): string {
  return Buffer.from(JSON.stringify([list, sort, value, id])).toString('base64url')
}

/**
 * The place that a cursor stands for.
 * @throws DomainError INVALID_CURSOR when it is not one of this list in this order
 */
export function decodeCursor (cursor: string, list: string, sort: string, kind: Kind): Place {
  const bytes = Buffer.from(cursor, 'base64url')
  const position = bytes.toString('base64url') === cursor ? parse(bytes) : undefined
  if (Array.isArray(position) && position.length === 4) {
    const [ofList, ofSort, value, id] = position
    if (ofList === list && ofSort === sort && kinds[kind](value) && typeof id === 'string' && UUID.test(id)) return { value, id }
  }
  throw new DomainError('INVALID_CURSOR', 'The cursor does not belong to this list in this order: start again without it.')
}

/** Dates alone that exist: `Date.parse` takes 30 February, and PostgreSQL has no year 0. */
function isTime (text: string): boolean {
  const time = new Date(text)
  return !Number.isNaN(time.getTime()) && time.toISOString() === text && time.getUTCFullYear() > 0
}

function parse (bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}
