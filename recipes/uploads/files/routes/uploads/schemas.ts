import { Type } from 'typebox'
import { Id, Timestamp, pageOf, ref } from '../schemas.ts'

const MAX_FILES = 100
/** More than UPLOAD_MAX_BYTES may be. */
export const MAX_BYTES = 50 * 1024 ** 3
const example = {
  id: '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11',
  name: 'invoice.pdf',
  type: 'application/pdf',
  size: 48_213,
  sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  createdAt: '2026-11-27T09:36:16.000Z'
}

export const Upload = Type.Object({
  id: Id('UUIDv7'),
  name: Type.String({ minLength: 1, maxLength: 255, pattern: '^[^\\x00-\\x1F\\x7F/\\\\]+$', description: 'The name of the file, made safe' }),
  type: Type.String({ maxLength: 255, pattern: '^[^/\\s]+/[^/\\s]+$', description: 'Media type, by what is in the file' }),
  size: Type.Integer({ minimum: 1, maximum: MAX_BYTES, format: 'int64', description: 'In bytes' }),
  sha256: Type.String({ minLength: 64, maxLength: 64, pattern: '^[0-9a-f]{64}$', description: 'SHA-256 of what is in it; in quotes it is the ETag of the content' }),
  createdAt: Timestamp('When it was uploaded')
}, { $id: 'Upload', description: 'An uploaded file', examples: [example] })

export const UploadPage = pageOf(Upload)

export const StoredUploads = Type.Object({
  items: Type.Array(ref(Upload), { minItems: 1, maxItems: MAX_FILES, description: 'In the order of the form' })
}, { $id: 'StoredUploads', description: 'The files of a form, as they are stored', examples: [{ items: [example] }] })

const binary = Type.String({ format: 'binary', minLength: 1, maxLength: MAX_BYTES, description: 'A file' })

/** Not validated: it is never there as a whole. */
export const UploadForm = Type.Object({
  file: Type.Array(binary, { minItems: 1, maxItems: MAX_FILES, description: 'Files, in parts of this or any other name; fields that are no files are ignored' })
}, { $id: 'UploadForm', description: 'A form with one or several files', additionalProperties: false, examples: [{ file: ['The bytes of a file'] }] })

const TAG = '(?:W/)?"[!#-~\\x80-\\xFF]*"'
const tags = { maxLength: 1024, pattern: `^(?:\\*|${TAG}(?:[ \\t]*,[ \\t]*${TAG})*)$` }

export const contentHeaders = Type.Object({
  range: Type.Optional(Type.String({ maxLength: 1024, pattern: '^[!-~][ -~]*$', description: 'Bytes to send: one range (RFC 9110, 14.2), such as `bytes=0-1023`; several, and other units, are answered with all' })),
  'if-range': Type.Optional(Type.String({ maxLength: 1024, pattern: '^[!-~][ -~]*$', description: 'The ETag that the range is of: all is sent if it is another' })),
  'if-none-match': Type.Optional(Type.String({ ...tags, description: 'ETags that the client has: 304 if the current one is among them' }))
})
