import { Type } from 'typebox'

export const Ticket = Type.Object({
  ticket: Type.String({ minLength: 43, maxLength: 43, pattern: '^[A-Za-z0-9_-]{43}$', description: 'Opens one WebSocket, as the subprotocol `ticket.<ticket>` beside `keel.v1` or as `?ticket=`; or one event stream, as `?ticket=`' }),
  expiresIn: Type.Integer({ minimum: 1, maximum: 3600, format: 'int32', description: 'Seconds in which it must be used' })
}, { $id: 'Ticket', description: 'A ticket for a WebSocket or an event stream', examples: [{ ticket: 'u1Ql0KFuCJXn0hM6kFZbWb1yQ2hS3u8mJb0l5rB0hXk', expiresIn: 30 }] })
