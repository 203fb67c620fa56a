import { Type } from 'typebox'

const RANDOM = { minLength: 43, maxLength: 43, pattern: '^[A-Za-z0-9_-]{43}$' }
const ANYTHING = { maxLength: 8192, pattern: '^[^\\x00-\\x1F\\x7F]*$' }

export const loginQuery = Type.Object({
  returnTo: Type.String({ minLength: 1, maxLength: 2048, pattern: '^[!-~]+$', description: 'The page to come back to: a path of this origin, or a URL of one of ALLOWED_ORIGINS, without a fragment' }),
  challenge: Type.String({ ...RANDOM, description: 'SHA-256 of a secret that the page keeps, base64url: whoever knows the secret can use the code' })
}, { additionalProperties: false })

/** What issuers send; some send more. */
export const callbackQuery = Type.Object({
  state: Type.Optional(Type.String({ ...ANYTHING, description: 'As it was sent to the issuer' })),
  code: Type.Optional(Type.String({ ...ANYTHING, description: 'The authorization code' })),
  iss: Type.Optional(Type.String({ ...ANYTHING, description: 'Who answers (RFC 9207)' })),
  error: Type.Optional(Type.String({ ...ANYTHING, description: 'Why there is no code (RFC 6749, 4.1.2.1)' }))
})

export const SignInCode = Type.Object({
  code: Type.String({ ...RANDOM, description: 'From the fragment of the page\'s URL' }),
  verifier: Type.String({ minLength: 43, maxLength: 128, pattern: '^[A-Za-z0-9._~-]+$', description: 'The secret that the challenge was of' })
}, { $id: 'SignInCode', description: 'What a page got from a sign-in', additionalProperties: false, examples: [{ code: 'S3Vd0YkFZcRrN1qA8mJxW5uT2eLgH7oP4iBvK9yDzC0', verifier: 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk' }] })

export const redirectHeader = { Location: { type: 'string', format: 'uri', maxLength: 8192, description: 'Where to go on' } }
