// Response headers as the OpenAPI document shows them.

const uri = { type: 'string', format: 'uri-reference', maxLength: 8192 }

export const locationHeader = { Location: { ...uri, description: 'The new resource' } }
export const etagHeader = { ETag: { type: 'string', maxLength: 16, pattern: '^"[0-9]+"$', description: 'The version of the resource, for If-Match and If-None-Match' } }
export const linkHeader = { Link: { type: 'string', maxLength: 8192, pattern: '^<[^>]+>; rel="next"$', description: 'The next page, if there is one (RFC 8288)' } }
export const replayedHeader = { 'Idempotency-Replayed': { type: 'string', enum: ['true'], description: 'The answer is the stored one of the first request with this key' } }
