import { Changes, type Change, type Document, type Operation } from './document.ts'
import { compareOperations } from './operations.ts'

/** Every difference that clients of `before` may notice at `after`, the breaking ones first. */
export function compareDocuments (before: Document, after: Document): Change[] {
  const changes = new Changes()
  const [from, to] = [operationsOf(before), operationsOf(after)]
  for (const [key, { name, operation }] of from) {
    const now = to.get(key)
    if (now) compareOperations([operation, now.operation], [before, after], name, changes)
    else changes.breaks(name, 'the operation is removed')
  }
  for (const [key, { name }] of to) if (!from.has(key)) changes.notes(name, 'a new operation')
  return changes.list.sort((a, b) => Number(b.breaking) - Number(a.breaking))
}

const METHODS = new Set(['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'])

/** The operations by method and path; a parameter by its position, whatever it is called. */
function operationsOf ({ paths = {} }: Document): Map<string, { name: string, operation: Operation }> {
  return new Map(Object.entries(paths).flatMap(([path, item]) => Object.entries(item)
    .filter(([method]) => METHODS.has(method))
    .map(([method, operation]) => {
      const position = new Map([...path.matchAll(/\{([^}]+)\}/g)].map(([, name = ''], i) => [name, `{${i}}`]))
      const parameters = operation.parameters?.map(parameter => parameter.in === 'path' ? { ...parameter, name: position.get(parameter.name) ?? parameter.name } : parameter)
      const key = `${method} ${path.replaceAll(/\{([^}]+)\}/g, (_all, name: string) => position.get(name) ?? '')}`
      return [key, { name: `${method.toUpperCase()} ${path}`, operation: { ...operation, ...parameters ? { parameters } : {} } }] as const
    })))
}
