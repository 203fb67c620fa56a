import type { FastifyReply, FastifyRequest } from 'fastify'
import { refuseExpired } from '../auth/expiry.ts'
import type { Connections } from './connections.ts'

const VERSION = '13'
const KEY = /^[+/0-9A-Za-z]{22}==$/
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

type Hook = (request: FastifyRequest, reply: FastifyReply, done: () => void) => void

/**
 * Refuses upgrades that are none, and those that a page of a stranger asks for in the name of its visitor.
 * @param subprotocol what the route speaks; without it clients may offer none
 */
export function admitHandshake (allowedOrigins: string[], subprotocol?: string): Hook {
  const allowed = new Set(allowedOrigins)
  const spoken = subprotocol === undefined ? 'This route has no subprotocol: offer none.' : `The subprotocol that this route speaks is ${subprotocol}: offer it, or none.`
  return (request, reply, done) => {
    if (!request.ws) return done()
    // What is not upgraded is the last on its connection: it is no HTTP connection any more.
    reply.header('connection', 'close')
    const { headers } = request
    if (headers['sec-websocket-version'] !== VERSION) return void upgradeRequired(request, reply, `This service speaks version ${VERSION} of WebSocket.`)
    if (!KEY.test(headers['sec-websocket-key'] ?? '')) return void reply.problem(400, 'Sec-WebSocket-Key is missing or malformed.')
    if (hasBody(request)) return void reply.problem(400, 'A request for a WebSocket has no body.')
    const offered = offeredProtocols(request)
    if (offered === undefined) return void reply.problem(400, 'Sec-WebSocket-Protocol is malformed.')
    if (offered.length > 0 && (subprotocol === undefined || !offered.includes(subprotocol))) return void reply.problem(400, spoken)
    const { origin } = headers
    if (origin !== undefined && !allowed.has(origin) && !isOwn(origin, request)) return void reply.problem(403, 'Pages of this origin may not connect: see ALLOWED_ORIGINS.')
    done()
  }
}

/** Refuses what the service can't take on: when it stops, when the token ends before the connection begins, and when the user has enough. */
export function admitConnection (connections: Connections, perUser: number): Hook {
  return (request, reply, done) => {
    if (!request.ws) return done()
    if (refuseExpired(request, reply)) return
    if (connections.isClosing) return void reply.problem(503, 'The service is stopping.')
    if (connections.countOf(request.user.id) >= perUser) return void reply.problem(429, `A user has ${perUser} connections to this process at the most.`)
    done()
  }
}

/** The answer to whoever does not ask for a WebSocket. */
export function upgradeRequired (_request: FastifyRequest, reply: FastifyReply, detail = 'Connect with a WebSocket client.'): FastifyReply {
  return reply.headers({ upgrade: 'websocket', connection: 'upgrade', 'sec-websocket-version': VERSION }).problem(426, detail)
}

/** The subprotocols that a client offers; undefined when they can't be read. */
function offeredProtocols ({ headers }: FastifyRequest): string[] | undefined {
  const offered = headers['sec-websocket-protocol']
  if (offered === undefined) return []
  const protocols = offered.split(',').map(protocol => protocol.trim())
  const isWellFormed = protocols.every(protocol => TOKEN.test(protocol)) && new Set(protocols).size === protocols.length
  return isWellFormed ? protocols : undefined
}

/** What would follow the upgrade is no frame. */
function hasBody ({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0
}

/** Whether a page is the service's own. Behind a proxy that TRUST_PROXY does not name, the service can't know that it is reached by https. */
function isOwn (origin: string, { protocol, host }: FastifyRequest): boolean {
  const page = URL.parse(origin)
  const own = URL.parse(`${page?.protocol}//${host}`)
  return page !== null && own !== null && page.host === own.host && (page.protocol === 'https:' || page.protocol === `${protocol}:`)
}
