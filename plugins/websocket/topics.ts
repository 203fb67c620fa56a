import type { TSchema } from 'typebox'
import type { AuthenticatedUser } from '../auth/index.ts'
import type { EventFilter } from '../events/index.ts'
import { MessageFault } from './messages.ts'

/** Something that can be followed. */
export interface Topic {
  /** Its name; a part of it may be a parameter: `orders/{id}`. */
  name: string
  description: string
  /** The parameters of the name. */
  parameters?: Record<string, { pattern: string, description: string }>
  /** The scopes that it needs; an empty list: none. */
  scopes: string[]
  /** What a client gets of an event: a schema with an `$id`. */
  event: TSchema
  /** Which events a subscriber gets. What it throws the subscriber is told. */
  filter: (user: AuthenticatedUser, parameters: Record<string, string>) => EventFilter | Promise<EventFilter>
}

/** A pattern that the names of a topic match, with the parameters as its groups. */
export function topicPattern ({ name, parameters = {} }: Topic): string {
  const parts = name.split(/\{(\w+)\}/).map((part, index) => {
    if (index % 2 === 0) return part.replaceAll('.', '\\.')
    const pattern = parameters[part]?.pattern
    if (pattern === undefined) throw new Error(`${name}: say in its parameters what pattern ${part} has`)
    return `(?<${part}>${pattern.replace(/^\^|\$$/g, '')})`
  })
  return `^${parts.join('')}$`
}

/** Finds who serves the topic of a name, and asks it for the filter. */
export type TopicFinder = (name: string, user: AuthenticatedUser) => EventFilter | Promise<EventFilter>
/** The same, for one user. */
export type FindFilter = (name: string) => EventFilter | Promise<EventFilter>

/** @throws MessageFault (the finder) UNKNOWN_TOPIC, FORBIDDEN, and what the topic says */
export function topicFinder (topics: Topic[]): TopicFinder {
  const known = topics.map(topic => ({ topic, pattern: new RegExp(topicPattern(topic)) }))
  return (name, user) => {
    for (const { topic, pattern } of known) {
      const match = pattern.exec(name)
      if (match === null) continue
      for (const scope of topic.scopes) if (!user.scopes.has(scope)) throw new MessageFault('FORBIDDEN', `This needs the scope ${scope}.`)
      return topic.filter(user, { ...match.groups })
    }
    throw new MessageFault('UNKNOWN_TOPIC', `The topics are ${topics.map(({ name }) => name).join(', ')}.`)
  }
}
