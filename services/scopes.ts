import type { Role } from '../prisma/generated/client.ts'

/** Who asks, and what that person may do. */
export interface Actor { id: string, scopes: ReadonlySet<string> }

const user = [
  'orders:read',
  'orders:write',
] as const
const scopes = {
  user,
  admin: [
    ...user,
    'products:write',
    'users:read',
    'orders:admin',
  ],
} as const satisfies Record<Role, readonly string[]>

export type Scope = typeof scopes[Role][number]

/** Every scope that some role has. */
export const allScopes: readonly Scope[] = [...new Set(Object.values(scopes).flat())]

/** The scopes that a role has. */
export function scopesOf (role: Role): readonly Scope[] {
  return scopes[role]
}
