import { Readable } from 'node:stream'
import { create as disposition } from 'content-disposition'
import type { FastifyReply } from 'fastify'
import { parse as ranges } from 'range-parser'
import { DomainError } from '../../services/errors.ts'
import type { FileStore, Upload } from '../../services/uploads.ts'
import { isFresh } from '../http/conditional.ts'

interface Headers { range?: string, 'if-range'?: string, 'if-none-match'?: string }

/** What the parser says of a header that is none, and of ranges beyond the end: bits. */
const INVALID = 1
const BEYOND = 2

/**
 * Sends what is in a file, or a range of it (RFC 9110, 14), always to be saved and never to be shown: it is what somebody sent.
 * @throws DomainError RANGE_NOT_SATISFIABLE
 */
export async function sendContent (reply: FastifyReply, store: FileStore, { id, name, type, size, sha256 }: Upload, headers: Headers): Promise<FastifyReply> {
  const etag = `"${sha256}"`
  // Files never change; but they can be deleted.
  reply.headers({ etag, 'cache-control': 'private, no-cache', 'accept-ranges': 'bytes' })
  if (isFresh(headers, etag)) return reply.code(304).send()
  const range = rangeOf(headers, etag, size)
  if (range === 'none') {
    reply.header('content-range', `bytes */${size}`)
    throw new DomainError('RANGE_NOT_SATISFIABLE', `The file has ${size} bytes.`)
  }
  // Of a HEAD the headers alone: nothing is opened for it.
  const content = reply.request.method === 'HEAD' ? Readable.from([]) : await store.read(id, range)
  if (range) reply.code(206).header('content-range', `bytes ${range.start}-${range.end}/${size}`)
  reply.headers({
    'content-type': type.startsWith('text/') ? `${type}; charset=utf-8` : type,
    'content-length': range ? range.end - range.start + 1 : size,
    'content-disposition': disposition(name),
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox"
  })
  return reply.send(content)
}

/** The range that is asked for; undefined for all, which is also the answer to what is no range, or several. */
function rangeOf ({ range, 'if-range': condition }: Headers, etag: string, size: number): { start: number, end: number } | 'none' | undefined {
  // A date never matches: there is no Last-Modified. The comparison is strong.
  if (range === undefined || (condition !== undefined && condition !== etag)) return undefined
  const { code, type, ranges: [first, ...others] } = ranges(size, range)
  if (type !== 'bytes' || (code & INVALID) !== 0) return undefined
  if (first === undefined) return 'none'
  return (code & BEYOND) === 0 && others.length === 0 ? { start: first.start, end: first.end } : undefined
}
