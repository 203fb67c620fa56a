import { Type } from 'typebox'
import { Email } from '../schemas.ts'
import { userName } from '../users/schemas.ts'

const example = { email: 'ada@example.com', password: 'correct horse battery staple' }
const strict = { additionalProperties: false }

export const newPassword = Type.String({ minLength: 12, maxLength: 128, format: 'password', description: '12 to 128 characters' })
export const password = Type.String({ minLength: 1, maxLength: 128, format: 'password', description: 'The password of the account' })

export const Registration = Type.Object({
  email: Email,
  password: newPassword,
  name: userName
}, { $id: 'Registration', description: 'A new account', ...strict, examples: [{ ...example, name: 'Ada Lovelace' }] })

export const Credentials = Type.Object({
  email: Email,
  password
}, { $id: 'Credentials', description: 'What one signs in with', ...strict, examples: [example] })

const token = { maxLength: 512, pattern: '^[!-~]+$' }

export const RefreshToken = Type.Object({
  refreshToken: Type.String({ ...token, minLength: 1, description: 'From signing in or from the last refresh' })
}, { $id: 'RefreshToken', description: 'The key to a session', ...strict, examples: [{ refreshToken: 'S3Vd0YkFZcRrN1qA8mJxW5uT2eLgH7oP4iBvK9yDzC0' }] })

export const TokenPair = Type.Object({
  accessToken: Type.String({ maxLength: 4096, pattern: '^[\\w-]+\\.[\\w-]+\\.[\\w-]+$', description: 'JWT (RFC 9068) for the Authorization header' }),
  tokenType: Type.String({ const: 'Bearer', maxLength: 6 }),
  expiresIn: Type.Integer({ minimum: 1, maximum: 86_400, format: 'int32', description: 'Seconds that the access token is good for' }),
  refreshToken: Type.String({ ...token, description: 'For POST /auth/refresh, once' })
}, { $id: 'TokenPair', description: 'Access for a while, and the means to go on' })
