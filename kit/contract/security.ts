import type { Changes } from './document.ts'

type Requirement = Record<string, string[]>

/**
 * Compares who may call: a list of alternatives, each a set of schemes with their scopes; an
 * empty list lets everyone. What sufficed before must suffice now.
 */
export function compareSecurity ([from, to]: [before: Requirement[], after: Requirement[]], at: string, changes: Changes): void {
  const [was, is] = [from, to].map(list => list.length === 0 ? [{}] : list) as [Requirement[], Requirement[]]
  const tightened = was.some(held => !is.some(needed => suffices(held, needed)))
  const loosened = is.some(held => !was.some(needed => suffices(held, needed)))
  if (tightened) changes.breaks(at, `security tightened: ${text(was)} → ${text(is)}`)
  else if (loosened) changes.notes(at, `security loosened: ${text(was)} → ${text(is)}`)
}

function suffices (held: Requirement, needed: Requirement): boolean {
  return Object.entries(needed).every(([scheme, scopes]) => scopes.every(scope => held[scheme]?.includes(scope)) && scheme in held)
}

function text (requirements: Requirement[]): string {
  return requirements.map(requirement => Object.entries(requirement).map(([scheme, scopes]) => [scheme, ...scopes].join(' ')).join(' and ') || 'anyone').join(', or ')
}
