/** Why the service closes a WebSocket (docs/websocket.md, AsyncAPI). Those below 1007 and 1009 come from the library, too. */
export const closeCodes = {
  goingAway: { code: 1001, reason: 'the service is stopping', meaning: 'The service is stopping: connect again, to another process.' },
  binary: { code: 1003, reason: 'messages are text', meaning: 'A message was binary; messages are JSON, as text.' },
  tooManyInvalid: { code: 1008, reason: 'too many invalid messages', meaning: 'Too many messages that are none of this protocol, or too many in a second.' },
  tooManyMessages: { code: 1008, reason: 'too many messages', meaning: 'Too many messages that are none of this protocol, or too many in a second.' },
  tooSlow: { code: 1013, reason: 'the client reads too slowly', meaning: 'The client does not read as fast as there is something to send: connect again, go on after the last event.' },
  tokenExpired: { code: 4401, reason: 'the access token has expired', meaning: 'The access token that the connection was opened with has expired: connect again with a new one.' }
} as const satisfies Record<string, { code: number, reason: string, meaning: string }>

export type Ending = typeof closeCodes[keyof typeof closeCodes]

/** What the library closes with by itself. */
export const protocolCodes = {
  1002: 'A frame was not as RFC 6455 has it.',
  1007: 'A message was not UTF-8.',
  1009: 'A message was larger than the service takes.'
} as const
