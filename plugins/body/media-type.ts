import type { FastifyRequest, RouteOptions } from 'fastify'

type Check = (request: FastifyRequest, reply: unknown, payload: unknown, done: (error?: Error) => void) => void

/** Refuses bodies of another media type than the route takes. */
export function checkMediaType ({ url }: RouteOptions, consumes: readonly string[]): Check {
  return (request, _reply, _payload, done) => {
    const given = request.headers['content-type']
    const [type = '', ...parameters] = (given ?? '').toLowerCase().split(';').map(part => part.trim().replaceAll('"', ''))
    const inUtf8 = parameters.every(parameter => !parameter.startsWith('charset=') || /^charset=utf-?8$/.test(parameter))
    if (given === undefined ? !hasBody(request) : consumes.includes(type) && inUtf8) return done()
    done(Object.assign(new Error(`${url} takes ${consumes.join(' or ')}${inUtf8 ? '' : ' in UTF-8'}.`), { statusCode: 415 }))
  }
}

function hasBody ({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/** Makes a request one without a body, for where none is read: nothing is parsed, nor refused. */
export function dropBody ({ headers }: FastifyRequest): void {
  delete headers['content-type']
  delete headers['content-encoding']
}
