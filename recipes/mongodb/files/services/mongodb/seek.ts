import { decodeCursor, encodeCursor, type CursorValue } from '../cursor.ts'
import type { Kind } from '../dialect.ts'
import { DEFAULT_LIMIT, type Page, type PageQuery } from '../pagination.ts'

/** What a list can be sorted by: a field that every document has, what kind of values it has, and the value of an item. */
export interface SortField<T> { field: string, kind: Kind, value: (item: T) => CursorValue }

/** A part of a list: what the documents have beyond the list's own filter, their order, and how many. */
export interface Seek { after: object, sort: Record<string, 1 | -1>, limit: number }

/**
 * Keyset pagination as `keyset` of pagination.ts, for documents: pages go on from the last one that was seen.
 * @param list its name; a cursor of another list is refused
 * @param fields what it may be sorted by. Each needs an index with `_id` behind it.
 */
export function documentKeyset<T extends { id: string }, Name extends string> (list: string, fields: Record<Name, SortField<T>>) {
  type Sort = Name | `-${Name}`
  const fieldOf = (sort: Sort) => fields[sort.replace(/^-/, '') as Name]

  return {
    /** The sort names, for the schema of the query. */
    sorts: (Object.keys(fields) as Name[]).flatMap((name): Sort[] => [name, `-${name}`]),

    /** @throws DomainError INVALID_CURSOR */
    seek (sort: Sort, { cursor, limit = DEFAULT_LIMIT }: PageQuery): Seek {
      const { field, kind } = fieldOf(sort)
      const isDown = sort.startsWith('-')
      const direction = isDown ? -1 : 1
      const seek = { sort: { [field]: direction, _id: direction } as Record<string, 1 | -1>, limit: limit + 1 }
      if (cursor === undefined) return { ...seek, after: {} }
      const place = decodeCursor(cursor, list, sort, kind)
      const value = kind === 'time' ? new Date(place.value) : place.value
      const [beyond, from] = isDown ? ['$lt', '$lte'] : ['$gt', '$gte']
      // The first condition alone bounds the range of the index.
      return { ...seek, after: { [field]: { [from]: value }, $or: [{ [field]: { [beyond]: value } }, { [field]: value, _id: { [beyond]: place.id } }] } }
    },

    /** The page of the items that came: one more than the limit means that the list goes on. */
    page (items: T[], sort: Sort, { limit = DEFAULT_LIMIT }: PageQuery): Page<T> {
      const last = items.length > limit ? items[limit - 1] : undefined
      return { items: items.slice(0, limit), nextCursor: last === undefined ? null : encodeCursor(list, sort, fieldOf(sort).value(last), last.id) }
    }
  }
}
