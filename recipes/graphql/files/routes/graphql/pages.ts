import { Type, type TSchema } from 'typebox'
import type { Page, PageQuery } from '../../services/pagination.ts'
import { pageQuery } from '../schemas.ts'

/** How lists are asked for: `first` and `after` are what `limit` and `cursor` are in a query string. */
export interface Slice { first: number, after?: string | null }

/** A part of a list, as GraphQL has it. */
export interface Connection<T> { nodes: T[], pageInfo: { hasNextPage: boolean, endCursor: string | null } }

const { limit, cursor } = pageQuery({}).properties

/** What the arguments of a list have to be, the same as of its route. */
export function listArguments<Extra extends Record<string, TSchema>> (extra: Extra) {
  return Type.Object({ ...extra, first: limit, after: cursor }, { additionalProperties: false })
}

/** The arguments without those that are null: to leave one out and to say null is the same here. */
export function given<T extends object> (args: T): { [Name in keyof T]?: NonNullable<T[Name]> } {
  return Object.fromEntries(Object.entries(args).filter(([, value]) => value !== null && value !== undefined)) as { [Name in keyof T]?: NonNullable<T[Name]> }
}

/** The part of a list that is asked for, for its service. */
export function pageOf ({ first, after }: { first?: number, after?: string }): Omit<PageQuery, 'sort'> {
  return { ...first === undefined ? {} : { limit: first }, ...after === undefined ? {} : { cursor: after } }
}

export function connectionOf<T> ({ items, nextCursor }: Page<T>): Connection<T> {
  return { nodes: items, pageInfo: { hasNextPage: nextCursor !== null, endCursor: nextCursor } }
}
