// Compares operations: parameters, bodies, responses, security.
import type { Changes, Content, Document, Operation, Parameter } from './document.ts'
import { compareSchemas } from './schemas.ts'
import { compareSecurity } from './security.ts'

type Both<T> = [before: T, after: T]

/** Compares one operation of both documents. */
export function compareOperations (operations: Both<Operation>, documents: Both<Document>, at: string, changes: Changes): void {
  const [before, after] = operations
  if (!before.deprecated && after.deprecated) changes.notes(at, 'it is deprecated now')
  compareParameters([before.parameters ?? [], after.parameters ?? []], documents, at, changes)
  compareRequestBodies(operations, documents, at, changes)
  compareResponses(operations, documents, at, changes)
  compareSecurity([before.security ?? documents[0].security ?? [], after.security ?? documents[1].security ?? []], at, changes)
}

function compareParameters ([from, to]: Both<Parameter[]>, [before, after]: Both<Document>, at: string, changes: Changes): void {
  // The name of a parameter in the path is nobody's business; its place is.
  const key = ({ name, in: where }: Parameter) => where === 'header' ? `header ${name.toLowerCase()}` : `${where} ${name}`
  const was = new Map(from.map(parameter => [key(parameter), parameter]))
  const is = new Map(to.map(parameter => [key(parameter), parameter]))
  for (const [name, parameter] of was) {
    const now = is.get(name)
    const place = `${at} ${name}`
    if (!now) {
      // Headers that are not known are let through; in the query they are errors.
      changes.add(parameter.in !== 'header', place, 'the parameter is removed')
      continue
    }
    if (!parameter.required && now.required) changes.breaks(place, 'the parameter is now required')
    if (parameter.required && !now.required) changes.notes(place, 'the parameter is no longer required')
    compareSchemas(parameter.schema ?? {}, now.schema ?? {}, { at: place, way: 'request', before, after }, changes)
  }
  for (const [name, { required = false }] of is) {
    if (!was.has(name)) changes.add(required, `${at} ${name}`, required ? 'a new parameter that is required' : 'a new parameter')
  }
}

function compareRequestBodies ([one, other]: Both<Operation>, documents: Both<Document>, at: string, changes: Changes): void {
  const [from, to] = [one.requestBody, other.requestBody]
  const place = `${at} body`
  if (!from && to) return changes.add(to.required === true, place, to.required ? 'a body is required now' : 'it takes a body now')
  if (from && !to) return changes.breaks(place, 'it takes no body any more')
  if (!from || !to) return
  if (!from.required && to.required) changes.breaks(place, 'the body is now required')
  compareContent([from.content ?? {}, to.content ?? {}], documents, place, 'request', changes)
}

function compareResponses ([one, other]: Both<Operation>, documents: Both<Document>, at: string, changes: Changes): void {
  const [from, to] = [one.responses ?? {}, other.responses ?? {}]
  for (const status of Object.keys(from)) {
    const [was, is] = [from[status], to[status]]
    const place = `${at} ${status}`
    if (!was || !is) {
      changes.breaks(place, 'the response is removed')
      continue
    }
    for (const name of Object.keys(was.headers ?? {})) if (!(name in (is.headers ?? {}))) changes.breaks(place, `the header ${name} is removed`)
    for (const name of Object.keys(is.headers ?? {})) if (!(name in (was.headers ?? {}))) changes.notes(place, `a new header: ${name}`)
    compareContent([was.content ?? {}, is.content ?? {}], documents, place, 'response', changes)
  }
  for (const status of Object.keys(to)) if (!(status in from)) changes.notes(`${at} ${status}`, 'a new response')
}

function compareContent ([from, to]: Both<Content>, [before, after]: Both<Document>, at: string, way: 'request' | 'response', changes: Changes): void {
  const types = Object.keys(from)
  for (const type of types) {
    const now = to[type]
    if (!now) changes.breaks(at, `the media type ${type} is removed`)
    else compareSchemas(from[type]?.schema ?? {}, now.schema ?? {}, { at: types.length > 1 ? `${at} (${type})` : at, way, before, after }, changes)
  }
  for (const type of Object.keys(to)) if (!(type in from)) changes.notes(at, `a new media type: ${type}`)
}
