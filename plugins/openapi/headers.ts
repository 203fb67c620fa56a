/** Headers that plugins set on many answers, documented once and referred to. */
const headers = {
  'X-Request-Id': { description: 'The request in the logs of the service', schema: { type: 'string', maxLength: 64, pattern: '^[A-Za-z0-9_.:@/+=-]+$' } },
  'Access-Control-Allow-Origin': { description: 'The calling page\'s origin, if it is one of ALLOWED_ORIGINS', schema: { type: 'string', format: 'uri', maxLength: 256 } },
  RateLimit: { description: 'Requests that remain (r) and seconds until the window ends (t); IETF draft', schema: { type: 'string', maxLength: 128, pattern: '^"[a-z-]+";r=[0-9]+;t=[0-9]+$' } },
  'RateLimit-Policy': { description: 'Requests (q) in a window of seconds (w); IETF draft', schema: { type: 'string', maxLength: 128, pattern: '^"[a-z-]+";q=[0-9]+;w=[0-9]+$' } },
  'Retry-After': { description: 'Seconds to wait', schema: { type: 'integer', format: 'int32', minimum: 0, maximum: 86_400 } },
  Deprecation: { description: 'Since when the operation is deprecated, in seconds of Unix time (RFC 9745)', schema: { type: 'string', maxLength: 20, pattern: '^@-?[0-9]+$' } },
  Sunset: { description: 'From when the operation may be gone (RFC 8594)', schema: { type: 'string', maxLength: 29, pattern: '^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT$' } },
  Upgrade: { description: 'The protocol that the resource speaks', schema: { type: 'string', enum: ['websocket'] } },
  'WWW-Authenticate': { description: 'What is wrong with the token (RFC 6750)', schema: { type: 'string', maxLength: 512, pattern: '^Bearer' } }
}
type Name = keyof typeof headers

interface Response { headers?: Record<string, object> }
interface Operation { deprecated?: boolean, responses?: Record<string, Response> }
export interface Document { paths?: Record<string, Record<string, Operation>>, components?: { headers?: object } }

/**
 * Adds to each response of an OpenAPI document the headers that the plugins set.
 * A route is rate limited when it declares 429. Only headers that some answer has are
 * among the components. Changes the document and gives it back.
 */
export function documentHeaders<T extends object> (input: T): T {
  const document = input as Document
  for (const operations of Object.values(document.paths ?? {})) {
    for (const { responses = {}, deprecated = false } of Object.values(operations)) {
      for (const [status, response] of Object.entries(responses)) {
        const names = [...namesFor(status, '429' in responses), ...deprecated ? ['Deprecation', 'Sunset'] as const : []]
        response.headers = { ...response.headers, ...Object.fromEntries(names.map(name => [name, { $ref: `#/components/headers/${name}` }])) }
      }
    }
  }
  const used = JSON.stringify(document.paths ?? {})
  const referred = Object.entries(headers).filter(([name]) => used.includes(`"#/components/headers/${name}"`))
  document.components = { ...document.components, headers: Object.fromEntries(referred) }
  return input
}

function namesFor (status: string, isLimited: boolean): Name[] {
  if (status === '101') return ['X-Request-Id']
  return [
    'X-Request-Id', 'Access-Control-Allow-Origin',
    ...isLimited ? ['RateLimit', 'RateLimit-Policy'] as const : [],
    ...status === '429' || status === '503' ? ['Retry-After'] as const : [],
    ...status === '426' ? ['Upgrade'] as const : [],
    ...status === '401' || status === '403' ? ['WWW-Authenticate'] as const : []
  ]
}
