import { Type } from 'typebox'
import { findProduct, listProducts, productSorts, type Product } from '../../services/products.ts'
import { DomainError } from '../../services/errors.ts'
import { Text } from '../schemas.ts'
import type { Context } from './context.ts'
import { connectionOf, given, listArguments, pageOf, type Connection, type Slice } from './pages.ts'

const typeDefs = /* GraphQL */ `
"Something that can be ordered."
type Product {
  id: UUID!
  "Stock keeping unit; unique."
  sku: String!
  name: String!
  description: String!
  price: Money! @cost(weight: 0)
  "How many can be ordered."
  stock: Int!
  createdAt: DateTime!
  updatedAt: DateTime!
}

type ProductConnection {
  nodes: [Product!]!
  pageInfo: PageInfo!
}

enum ProductSort {
  NAME_ASC
  NAME_DESC
  PRICE_ASC
  PRICE_DESC
  CREATED_AT_ASC
  CREATED_AT_DESC
}

extend type Query {
  "The products, or those with q in name, SKU or description, whatever its case."
  products(first: Int! = 20, after: String, q: String, sort: ProductSort! = CREATED_AT_DESC): ProductConnection! @public @listSize(slicingArgument: "first")
  "A product; null: there is none of this id."
  product(id: UUID!): Product @public
}
`

/** The names that GraphQL can have for what GET /products calls name and -name. */
const sorts = Object.fromEntries(productSorts.map(sort => {
  const name = sort.replace('-', '').replaceAll(/[A-Z]/g, letter => `_${letter}`).toUpperCase()
  return [`${name}_${sort.startsWith('-') ? 'DESC' : 'ASC'}`, sort]
}))

const Arguments = listArguments({ q: Type.Optional(Text(100, 'Text to look for')), sort: Type.String() })

const resolvers = {
  ProductSort: sorts,
  Query: {
    products: async (_: unknown, args: Slice & { q?: string | null, sort: typeof productSorts[number] }, { prisma, check }: Context): Promise<Connection<Product>> => {
      const { q, sort, ...page } = given(args)
      check(Arguments, given(args), 'query')
      return connectionOf(await listProducts(prisma, { ...pageOf(page), sort, ...q === undefined ? {} : { q } }))
    },
    product: async (_: unknown, { id }: { id: string }, { prisma }: Context): Promise<Product | null> => await orNull(findProduct(prisma, id))
  }
}

/** Null for what does not exist, which is no error to ask for. */
export async function orNull<T> (finding: Promise<T>): Promise<T | null> {
  return await finding.catch(error => {
    if (error instanceof DomainError && error.code === 'NOT_FOUND') return null
    throw error
  })
}

export const products = { typeDefs, resolvers }
