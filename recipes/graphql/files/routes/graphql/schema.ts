import { makeExecutableSchema } from '@graphql-tools/schema'
import type { GraphQLScalarType, GraphQLSchema } from 'graphql'
import { GraphQLDateTimeISO, GraphQLSafeInt, GraphQLUUID } from 'graphql-scalars'
import { orders } from './orders.ts'
import { products } from './products.ts'
import { users } from './users.ts'

const common = /* GraphQL */ `
"A UUID (RFC 9562)."
scalar UUID @specifiedBy(url: "https://www.rfc-editor.org/rfc/rfc9562")

"A point in time, in UTC (RFC 3339)."
scalar DateTime @specifiedBy(url: "https://www.rfc-editor.org/rfc/rfc3339")

"A whole number of up to 53 bits, as JSON has it."
scalar SafeInt

"An amount in minor units, such as cents, of a currency (ISO 4217)."
type Money {
  amount: SafeInt!
  currency: String!
}

"Where a list goes on."
type PageInfo {
  hasNextPage: Boolean!
  "Send it as \`after\` for the next page; null on the last. A cursor of REST is as good."
  endCursor: String
}

type Query
type Mutation
type Subscription
`

/** What a scalar does; its name and words are those above. */
const like = ({ serialize, parseValue, parseLiteral }: GraphQLScalarType) => ({ serialize, parseValue, parseLiteral })

const scalars = { UUID: like(GraphQLUUID), DateTime: like(GraphQLDateTimeISO), SafeInt: like(GraphQLSafeInt) }

/**
 * What there is to ask for. `npm run graphql:schema` writes it to schema.graphql, where clients and reviews find it.
 * @param directives the SDL of @public, @auth, @cost and @listSize
 */
export function schemaOf (directives: string): GraphQLSchema {
  return makeExecutableSchema({
    typeDefs: [directives, common, products.typeDefs, users.typeDefs, orders.typeDefs],
    resolvers: [scalars, products.resolvers, users.resolvers, orders.resolvers]
  })
}
