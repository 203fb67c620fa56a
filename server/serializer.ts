import SerializerSelector from '@fastify/fast-json-stringify-compiler'
import { compiledOnce } from './compiled.ts'

const factory = SerializerSelector()
const compiled = compiledOnce<SerializerSelector.Serializer>()

/** Builds the serializers of responses, one for each schema. */
export const buildSerializer: SerializerSelector.SerializerFactory = (externalSchemas, options) => {
  const build = factory(externalSchemas, options)
  const context = JSON.stringify([externalSchemas, options])
  return route => compiled(route.schema, context, () => build(route))
}
