import { getDirective } from '@graphql-tools/utils'
import { getArgumentValues, getNamedType, isObjectType, isInterfaceType, Kind, type DocumentNode, type FieldNode, type GraphQLCompositeType, type GraphQLField, type GraphQLSchema, type OperationDefinitionNode, type SelectionSetNode } from 'graphql'

/** How deep a query goes, and what it may cost at the most. */
export interface Size { depth: number, cost: number }

/** What is run; its variables as GraphQL has made them of what was sent. */
export interface Operation { schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, variables: Record<string, unknown> }

interface Price { weight: number | undefined, slicingArgument: string | undefined, assumedSize: number }

const prices = new WeakMap<GraphQLField<unknown, unknown>, Price>()

/**
 * Refuses what asks for too much, before anything is run.
 * @throws what becomes the problem QUERY_TOO_COMPLEX
 */
export function refuseExcess (operation: Operation, most: Size): void {
  const { depth, cost } = sizeOf(operation)
  if (depth > most.depth) throw tooComplex(`The query is ${depth} levels deep; ${most.depth} is the most.`)
  if (cost > most.cost) throw tooComplex(`The query may cost ${cost}; ${most.cost} is the most. Ask for fewer at a time, or for less of each.`)
}

function tooComplex (message: string): Error {
  return Object.assign(new Error(message), { code: 'QUERY_TOO_COMPLEX' })
}

/**
 * Measures an operation that is valid. Each fragment is measured once, however often it is spread:
 * a document of some lines can spread them billions of times. (That is why it is not one of the libraries, which
 * walk them each time.) Introspection does not count: graphql-js has a limit of its own for it.
 */
function sizeOf ({ schema, document, operation, variables }: Operation): Size {
  const fragments = new Map(document.definitions.flatMap(node => node.kind === Kind.FRAGMENT_DEFINITION ? [[node.name.value, node]] : []))
  const measured = new Map<string, Size>()
  const root = schema.getRootType(operation.operation)
  return root ? ofSelections(operation.selectionSet, root) : { depth: 0, cost: 0 }

  function ofSelections ({ selections }: SelectionSetNode, type: GraphQLCompositeType): Size {
    let [depth, cost] = [0, 0]
    for (const node of selections) {
      const size = node.kind === Kind.FIELD
        ? ofField(node, type)
        : node.kind === Kind.FRAGMENT_SPREAD
          ? ofFragment(node.name.value)
          : ofSelections(node.selectionSet, typeNamed(node.typeCondition?.name.value) ?? type)
      depth = Math.max(depth, size.depth)
      cost += size.cost
    }
    return { depth, cost }
  }

  function ofFragment (name: string): Size {
    const known = measured.get(name)
    if (known !== undefined) return known
    const fragment = fragments.get(name)
    const type = typeNamed(fragment?.typeCondition.name.value)
    const size = fragment && type ? ofSelections(fragment.selectionSet, type) : { depth: 0, cost: 0 }
    measured.set(name, size)
    return size
  }

  function ofField (node: FieldNode, type: GraphQLCompositeType): Size {
    const field = isObjectType(type) || isInterfaceType(type) ? type.getFields()[node.name.value] : undefined
    if (field === undefined) return { depth: 0, cost: 0 }
    const { weight, slicingArgument, assumedSize } = priceOf(schema, field)
    const within = node.selectionSet ? ofSelections(node.selectionSet, getNamedType(field.type) as GraphQLCompositeType) : undefined
    const asked = slicingArgument === undefined ? undefined : getArgumentValues(field, node, variables)[slicingArgument]
    const times = typeof asked === 'number' ? Math.max(0, asked) : assumedSize
    return { depth: 1 + (within?.depth ?? 0), cost: (weight ?? (within ? 1 : 0)) + times * (within?.cost ?? 0) }
  }

  function typeNamed (name = ''): GraphQLCompositeType | undefined {
    return schema.getType(name) as GraphQLCompositeType | undefined
  }
}

function priceOf (schema: GraphQLSchema, field: GraphQLField<unknown, unknown>): Price {
  const known = prices.get(field)
  if (known !== undefined) return known
  const [cost] = (getDirective(schema, field, 'cost') ?? []) as { weight: number }[]
  const [size] = (getDirective(schema, field, 'listSize') ?? []) as { slicingArgument?: string, assumedSize?: number }[]
  const price = { weight: cost?.weight, slicingArgument: size?.slicingArgument, assumedSize: size?.assumedSize ?? 1 }
  prices.set(field, price)
  return price
}
