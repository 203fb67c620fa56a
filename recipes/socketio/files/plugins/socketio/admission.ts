import type { FastifyInstance } from 'fastify'
import type { Socket } from 'socket.io'
import type { AuthenticatedUser } from '../auth/index.ts'
import { endTransport } from './connection.ts'

/** Who a connection is of, and which event the client has seen last. */
export interface Admitted { user: AuthenticatedUser, lastEventId: string | undefined }

export interface AdmissionOptions {
  readToken: FastifyInstance['readToken']
  problemOf: FastifyInstance['problemOf']
  /** Where who was let in is noted. */
  admitted: WeakMap<Socket, Admitted>
  /** Whether a user may have one more. */
  mayConnect: (userId: string) => boolean
}

type Next = (error?: Error & { data?: object }) => void

/**
 * Lets a client in whose handshake has a token: `auth: { token }`, or, of clients that are no browsers, an Authorization header.
 * A refusal is a `connect_error` with a problem as its `data`. Who comes back is who was there.
 */
export function admission ({ readToken, problemOf, admitted, mayConnect }: AdmissionOptions): (socket: Socket, next: Next) => void {
  async function admit (socket: Socket): Promise<void> {
    const { auth, headers } = socket.handshake
    const { token, lastEventId } = auth as Record<string, unknown>
    if (token !== undefined && typeof token !== 'string') throw refusal(401, 'The token is a text.')
    if (lastEventId !== undefined && typeof lastEventId !== 'string') throw refusal(400, 'lastEventId is a text.')
    const authorization = token === undefined ? headers.authorization : `Bearer ${token}`
    if (authorization === undefined) throw refusal(401, 'Send an access token: auth: { token }.')
    const user = await readToken(authorization)
    if (user.expiresAt <= Date.now()) throw refusal(401, 'The access token has expired.')
    if (socket.recovered && (socket.data as { userId?: string }).userId !== user.id) throw refusal(403, 'The connection to come back to is another user\'s.')
    if (!mayConnect(user.id)) throw refusal(429, 'A user has so many connections to this process at the most.')
    admitted.set(socket, { user, lastEventId })
  }

  return (socket, next) => {
    admit(socket).then(() => next(), error => {
      const { status, code, title, detail = `${title}.` } = problemOf(error)
      next(Object.assign(new Error(code), { data: { code, status, title, detail } }))
      // The library says so a tick later. Another try is another connection, which counts as a request.
      setImmediate(() => endTransport(socket.conn))
    })
  }
}

function refusal (statusCode: number, message: string): Error {
  return Object.assign(new Error(message), { statusCode })
}
