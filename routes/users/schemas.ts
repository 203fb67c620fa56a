import { Type } from 'typebox'
import { Email, Id, Line, Timestamp, oneOf, pageOf } from '../schemas.ts'

const name = Line(100, 'How the person is called')

export const User = Type.Object({
  id: Id('UUIDv7'),
  email: Email,
  name,
  role: oneOf(['user', 'admin'], { description: 'What the person may do' }),
  createdAt: Timestamp('When the account was created')
}, {
  $id: 'User',
  description: 'An account',
  examples: [{ id: '0197fbd2-6f0f-7a5e-b5c0-0b0f2b7f3a11', email: 'ada@example.com', name: 'Ada Lovelace', role: 'user', createdAt: '2026-11-25T09:36:16.000Z' }]
})

export const UserPatch = Type.Object({ name: Type.Optional(name) }, {
  $id: 'UserPatch',
  description: 'JSON merge patch (RFC 7396) of an account',
  additionalProperties: false,
  examples: [{ name: 'Ada King' }]
})

export const UserDetails = Type.Object({ email: Email, name }, {
  $id: 'UserDetails',
  description: 'What an account says of a person',
  additionalProperties: false,
  examples: [{ email: 'ada@example.com', name: 'Ada Lovelace' }]
})

export const UserPage = pageOf(User)

export { name as userName }
