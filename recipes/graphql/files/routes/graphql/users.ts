import { Type } from 'typebox'
import { findUser, listUsers, type User } from '../../services/users.ts'
import { Email } from '../schemas.ts'
import { actorOf, type Context } from './context.ts'
import { connectionOf, given, listArguments, pageOf, type Connection, type Slice } from './pages.ts'

const typeDefs = /* GraphQL */ `
"An account."
type User {
  id: UUID!
  email: String!
  name: String!
  role: Role!
  createdAt: DateTime!
}

enum Role {
  user
  admin
}

type UserConnection {
  nodes: [User!]!
  pageInfo: PageInfo!
}

extend type Query {
  "The account that the access token was issued for."
  me: User! @auth
  "The accounts, oldest first, optionally the one with an e-mail address."
  users(first: Int! = 20, after: String, email: String): UserConnection! @auth(scopes: ["users:read"]) @listSize(slicingArgument: "first")
}
`

const Arguments = listArguments({ email: Type.Optional(Email) })

const resolvers = {
  Query: {
    me: async (_: unknown, _args: object, context: Context): Promise<User> => await findUser(context.prisma, actorOf(context).id),
    users: async (_: unknown, args: Slice & { email?: string | null }, { prisma, check }: Context): Promise<Connection<User>> => {
      const { email, ...page } = given(args)
      check(Arguments, given(args), 'query')
      return connectionOf(await listUsers(prisma, { ...pageOf(page), ...email === undefined ? {} : { email } }))
    }
  }
}

export const users = { typeDefs, resolvers }
