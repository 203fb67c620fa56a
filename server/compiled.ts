/**
 * Keeps what is compiled from schemas, by their text: Fastify compiles anew for every route, and most routes
 * share most of their schemas (a problem of every status, an id). That is half of what a start would cost.
 * @returns what gives the thing of a schema, made when there is none; `context` is whatever else it depends on
 */
export function compiledOnce<T> (): (schema: unknown, context: string, make: () => T) => T {
  const made = new Map<string, T>()
  return (schema, context, make) => {
    const key = `${JSON.stringify(schema)} ${context}`
    const thing = made.get(key) ?? make()
    made.set(key, thing)
    return thing
  }
}
