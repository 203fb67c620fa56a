// Requests for an operation: right in everything, or wrong in one part.
import fc, { type Arbitrary } from 'fast-check'
import type { Operation, Parameter } from './document.ts'
import { invalid, nastyText } from './invalid.ts'
import { valid } from './valid.ts'

export type Caller = 'admin' | 'user' | 'nobody' | 'garbage'
export type Part = 'path' | 'query' | 'header' | 'body' | 'bytes' | 'nothing'

export interface Generated {
  operation: Operation
  /** What is wrong with it. */
  fault: Part
  caller: Caller
  url: string
  headers: Record<string, string>
  body?: unknown
  payload?: string | Buffer
}

const callers = fc.oneof({ weight: 9, arbitrary: fc.constant<Caller>('admin') }, { weight: 5, arbitrary: fc.constant<Caller>('user') }, { weight: 1, arbitrary: fc.constantFrom<Caller>('nobody', 'garbage') })

/** Requests for an operation; half of them fit the document in every part. */
export function requestsFor (operation: Operation): Arbitrary<Generated> {
  const { parameters, requestBody } = operation
  const parts = [...new Set(parameters.map(parameter => parameter.in)), ...requestBody ? ['body', 'body', 'bytes'] as const : []]
  const faults: Arbitrary<Part> = parts.length === 0 ? fc.constant('nothing') : fc.oneof(fc.constant<Part>('nothing'), fc.constantFrom<Part>(...parts))
  return faults.chain(fault => requestWith(operation, fault))
}

function requestWith (operation: Operation, fault: Part): Arbitrary<Generated> {
  const part = (where: Parameter['in']) => parametersIn(operation, where, fault === where)
  return fc.record({ caller: callers, path: part('path'), query: part('query'), header: part('header'), sent: bodyOf(operation, fault) }).map(({ caller, path, query, header, sent }) => {
    const search = Object.entries(query).map(([name, value]) => `${escape(name)}=${escape(value)}`).join('&')
    const url = operation.path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => segment(path[name] ?? ''))
    return {
      operation,
      fault,
      caller,
      url: search === '' ? url : `${url}?${search}`,
      headers: { ...Object.fromEntries(Object.entries(header).map(([name, value]) => [name, headerText(value)])), ...sent.headers },
      ...'body' in sent ? { body: sent.body } : {},
      ...sent.payload === undefined ? {} : { payload: sent.payload }
    }
  })
}

function parametersIn ({ path, parameters }: Operation, where: Parameter['in'], wrong: boolean): Arbitrary<Record<string, string>> {
  const here = parameters.filter(parameter => parameter.in === where)
  const right = Object.fromEntries(here.map(({ name, schema }) => [name, valid(schema, path, name).map(value => value === undefined ? undefined : String(value))]))
  const requiredKeys = here.filter(({ required }) => required).map(({ name }) => name)
  // Half of them have all there are: an operation that wants two optional ones at once would else succeed by luck alone.
  const some = fc.record(right, { requiredKeys, noNullPrototype: true })
  const fine = fc.oneof(some, fc.record(right, { noNullPrototype: true })).map(values => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Record<string, string>)
  if (!wrong) return fine
  const one = fc.constantFrom(...here).chain(({ name, schema }) => fc.oneof(nastyText, invalid(schema, path).map(String)).map(value => [name, value] as const))
  const fault = where === 'query' ? fc.oneof(one, fc.constant(['extra', '1'] as const)) : one
  return fc.tuple(fine, fault).map(([values, [name, value]]) => ({ ...values, [name]: value }))
}

interface Sent { headers: Record<string, string>, body?: unknown, payload?: string | Buffer }

function bodyOf ({ path, requestBody }: Operation, fault: Part): Arbitrary<Sent> {
  if (!requestBody) return fc.constant({ headers: {} })
  const types = Object.keys(requestBody.content)
  const schema = Object.values(requestBody.content)[0]?.schema ?? {}
  if (fault === 'bytes') return fc.constantFrom(...bytes)
  const bodies = fault === 'body' ? invalid(schema, path) : valid(schema, path)
  return fc.tuple(bodies, fc.constantFrom(...types)).map(([body, type]) => {
    const isForm = type.includes('urlencoded') && typeof body === 'object' && body !== null && fault !== 'body'
    if (type === 'multipart/form-data' && fault !== 'body') return { headers: { 'content-type': `${type}; boundary=${BOUNDARY}` }, body, payload: multipart(body as Record<string, unknown>) }
    if (isForm) return { headers: { 'content-type': type }, body, payload: new URLSearchParams(body as Record<string, string>).toString() }
    return { headers: { 'content-type': types.find(name => name.endsWith('json')) ?? type }, body, payload: JSON.stringify(body) }
  })
}

const BOUNDARY = 'aBoundaryThatNoTextHas'

/** A form of files: each field, or each item of one, is a text file. */
function multipart (body: Record<string, unknown>): string {
  const files = Object.entries(body).flatMap(([name, value]) => [value].flat().map(text => `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"; filename="a.txt"\r\ncontent-type: text/plain\r\n\r\n${String(text)}\r\n`))
  return `${files.join('')}--${BOUNDARY}--\r\n`
}

const json = { 'content-type': 'application/json' }
const bytes: Sent[] = [
  { headers: json, payload: '' },
  { headers: json, payload: '{' },
  { headers: json, payload: '{"a":1}}' },
  { headers: json, payload: '{"__proto__":{"x":1}}' },
  { headers: json, payload: '['.repeat(10_000) },
  { headers: json, payload: `${'['.repeat(5000)}${']'.repeat(5000)}` },
  { headers: json, payload: Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]) },
  { headers: json, payload: `"${'a'.repeat(1_100_000)}"` },
  { headers: { 'content-type': 'application/json; charset=latin1' }, payload: '{}' },
  { headers: { 'content-type': 'application/json garbage' }, payload: '{}' },
  { headers: { 'content-type': 'text/plain' }, payload: '{}' },
  { headers: { 'content-type': '' }, payload: '{}' },
  { headers: { 'content-type': 'application/xml' }, payload: '<a/>' },
  { headers: {} }
]

function escape (text: string): string {
  // As a client might send it that does not know how.
  return text === '%E0%A4%A' ? text : encodeURIComponent(text.toWellFormed())
}

/** A dot segment would make it another path. */
function segment (text: string): string {
  return /^\.{1,2}$/.test(text) ? 'dots' : escape(text)
}

/** What can be in a header at all: Latin-1 without control characters. */
function headerText (text: string): string {
  return text.replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, '?')
}
