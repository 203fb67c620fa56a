import { Type } from 'typebox'
import { Id, Timestamp, pageOf } from '../../schemas.ts'
import { newPassword, password } from '../../auth/schemas.ts'

export const Session = Type.Object({
  id: Id('Stays the same while the session is refreshed'),
  createdAt: Timestamp('When the person signed in'),
  lastUsedAt: Timestamp('When it was last refreshed'),
  expiresAt: Timestamp('When it ends unless it is refreshed'),
  current: Type.Boolean({ description: 'The access token of this request comes from it' })
}, {
  $id: 'Session',
  description: 'Where one is signed in',
  examples: [{ id: '6f0f4d55-9a8b-4c0e-8f5e-0b0f2b7f3a11', createdAt: '2026-11-25T09:36:16.000Z', lastUsedAt: '2026-11-25T10:21:00.000Z', expiresAt: '2026-12-25T10:21:00.000Z', current: true }]
})

export const SessionPage = pageOf(Session)

export const PasswordChange = Type.Object({ currentPassword: password, newPassword }, {
  $id: 'PasswordChange',
  description: 'A new password, by leave of the old one',
  additionalProperties: false,
  examples: [{ currentPassword: 'correct horse battery staple', newPassword: 'wrong horse battery staple' }]
})
