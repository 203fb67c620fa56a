import { getDirective, MapperKind, mapSchema } from '@graphql-tools/utils'
import { defaultFieldResolver, type GraphQLFieldResolver, type GraphQLSchema } from 'graphql'
import { unstorable } from '../body/text.ts'
import { authorize, type Call } from './call.ts'

/** Who may ask for a field, and what it costs: for the schema of a service. */
export const directives = /* GraphQL */ `
"Anyone may ask for it, without a token, too."
directive @public on FIELD_DEFINITION

"It needs a valid access token, with all of these scopes."
directive @auth(scopes: [String!]! = []) on FIELD_DEFINITION

"What it adds to the cost of a query; without it a field that has fields adds 1, another nothing."
directive @cost(weight: Int!) on FIELD_DEFINITION

"How often what is within counts: as often as the argument says, or as is assumed."
directive @listSize(slicingArgument: String, assumedSize: Int) on FIELD_DEFINITION
`

type Resolver = GraphQLFieldResolver<unknown, Call>

/**
 * The schema with its fields guarded by @public and @auth. Closed by default, as routes are: a field of a
 * query, mutation or subscription that says neither stops the start, and so does a scope that no role has.
 * @param known every scope that a token may have
 * @throws Error naming the fields
 */
export function guarded (schema: GraphQLSchema, known: readonly string[]): GraphQLSchema {
  const roots = new Set([schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].map(type => type?.name))
  const open: string[] = []
  const unknown: string[] = []
  const result = mapSchema(schema, {
    [MapperKind.OBJECT_FIELD]: (field, name, type) => {
      const [auth] = (getDirective(schema, field, 'auth') ?? []) as { scopes: string[] }[]
      const isPublic = getDirective(schema, field, 'public') !== undefined
      const isRoot = roots.has(type)
      if (isRoot && isPublic === (auth !== undefined)) open.push(`${type}.${name}`)
      unknown.push(...(auth?.scopes ?? []).filter(scope => !known.includes(scope)).map(scope => `${scope} (${type}.${name})`))
      const guard = (resolve: Resolver): Resolver => (source, args, context, info) => {
        // Nobody waits for it any more.
        context.deadline?.signal.throwIfAborted()
        if (auth !== undefined) authorize(context, auth.scopes)
        const fault = isRoot ? unstorable('body', args) : undefined
        if (fault !== undefined) throw fault
        return resolve(source, args, context, info)
      }
      if (field.subscribe) return { ...field, subscribe: guard(field.subscribe as Resolver) as typeof field.subscribe }
      return field.resolve || auth !== undefined ? { ...field, resolve: guard((field.resolve ?? defaultFieldResolver) as Resolver) as typeof field.resolve } : field
    }
  })
  if (open.length > 0) throw new Error(`say who may ask: @public or @auth, one of the two, for ${open.join(', ')}`)
  if (unknown.length > 0) throw new Error(`no role has the scope ${unknown.join(', ')}: nobody could ask`)
  return result
}
