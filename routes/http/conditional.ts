// Conditional requests on resources whose row has a version (RFC 9110, 8.8.3 and 13).
import { Type } from 'typebox'
import { DomainError } from '../../services/errors.ts'

const TAG = '(?:W/)?"[!#-~\\x80-\\xFF]*"'
const tags = { maxLength: 1024, pattern: `^(?:\\*|${TAG}(?:[ \\t]*,[ \\t]*${TAG})*)$` }
const VERSION = /^"([1-9]\d{0,9})"$/
const MAX_VERSION = 2_147_483_647

// Header names are in lower case, as Node gives them: in another the validator finds none.
// Not `required`: without it the answer is 428 of the handler, not 400 of the schema.
export const ifMatchHeaders = Type.Object({
  'if-match': Type.Optional(Type.String({ ...tags, description: 'The ETag of the version to change (428 without), or `*` for any' }))
})

export const ifNoneMatchHeaders = Type.Object({
  'if-none-match': Type.Optional(Type.String({ ...tags, description: 'ETags that the client has: 304 if the current one is among them' }))
})

interface Headers { 'if-match'?: string, 'if-none-match'?: string }

/** The strong ETag of a version. */
export function etagOf ({ version }: { version: number }): string {
  return `"${version}"`
}

/**
 * The versions that If-Match allows to change. The comparison is strong: weak
 * tags, and tags that are none of ours, match nothing.
 * @throws DomainError VERSION_REQUIRED without the header
 */
export function versionsOf ({ 'if-match': value }: Headers): number[] | 'any' {
  if (value === undefined) throw new DomainError('VERSION_REQUIRED', 'Send If-Match with the ETag that you read, so that nobody\'s change is lost.')
  if (value === '*') return 'any'
  return tagsOf(value).map(tag => Number(VERSION.exec(tag)?.[1])).filter(version => version <= MAX_VERSION)
}

/** Whether the client has this version already. The comparison is weak. */
export function isFresh ({ 'if-none-match': value }: Headers, etag: string): boolean {
  if (value === undefined) return false
  return value === '*' || tagsOf(value).some(tag => tag.replace(/^W\//, '') === etag)
}

function tagsOf (value: string): string[] {
  return value.match(/(?:W\/)?"[^"]*"/g) ?? []
}
