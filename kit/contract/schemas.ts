// Compares schemas: what a request may no longer hold, and what a response no longer promises.
import { isDeepStrictEqual } from 'node:util'
import { resolve, type Changes, type Context, type Schema } from './document.ts'
import { compareValues } from './values.ts'

/** Compares two schemas of the same place, and what is in them. A component is compared once, under its own name. */
export function compareSchemas (one: Schema, other: Schema, context: Context, changes: Changes): void {
  if (one.$ref === undefined || other.$ref === undefined) return compareResolved(one, other, context, changes)
  if (!changes.isFirst(`${context.way} ${one.$ref} ${other.$ref}`)) return
  compareResolved(one, other, { ...context, at: `${one.$ref.split('/').at(-1)} (in ${context.way}s)` }, changes)
}

function compareResolved (one: Schema, other: Schema, context: Context, changes: Changes): void {
  const [before, after] = [resolve(one, context.before), resolve(other, context.after)]
  compareValues(before, after, context, changes)
  compareProperties(before, after, context, changes)
  compareAdditional(before, after, context, changes)
  if (before.items && after.items) compareSchemas(before.items, after.items, inside(context, '[]'), changes)
  for (const keyword of ['oneOf', 'anyOf', 'allOf'] as const) compareAlternatives(keyword, before, after, context, changes)
}

function compareProperties (before: Schema, after: Schema, context: Context, changes: Changes): void {
  const isRequest = context.way === 'request'
  const [from, to] = [before.properties ?? {}, after.properties ?? {}]
  const needs = ({ required = [] }: Schema, name: string) => required.includes(name)
  for (const name of Object.keys(from)) {
    const field = inside(context, `.${name}`)
    const [was, is] = [from[name], to[name]]
    // Fields that a request may hold but that nobody reads do no harm.
    if (!was || !is) changes.add(!isRequest || after.additionalProperties === false, field.at, 'the field is removed')
    else {
      if (!needs(before, name) && needs(after, name)) changes.add(isRequest, field.at, 'the field is now required')
      if (needs(before, name) && !needs(after, name)) changes.add(!isRequest, field.at, 'the field is no longer required')
      compareSchemas(was, is, field, changes)
    }
  }
  for (const name of Object.keys(to).filter(name => !(name in from))) {
    const required = needs(after, name)
    changes.add(isRequest && required, inside(context, `.${name}`).at, required && isRequest ? 'a new field that is required' : 'a new field')
  }
}

function compareAdditional (before: Schema, after: Schema, context: Context, changes: Changes): void {
  const [from, to] = [before.additionalProperties ?? true, after.additionalProperties ?? true]
  if (typeof from === 'object' && typeof to === 'object') return compareSchemas(from, to, inside(context, '.*'), changes)
  if (isDeepStrictEqual(from, to)) return
  const narrowed = to === false || from === true
  changes.add(narrowed && context.way === 'request', context.at, narrowed ? 'unknown fields are no longer taken as they are' : 'unknown fields are possible now')
}

function compareAlternatives (keyword: 'oneOf' | 'anyOf' | 'allOf', before: Schema, after: Schema, context: Context, changes: Changes): void {
  const [from, to] = [before[keyword], after[keyword]]
  if (from === undefined && to === undefined) return
  if (from?.length === to?.length) {
    from?.forEach((schema, i) => compareSchemas(schema, to?.[i] ?? {}, inside(context, ` (${keyword} ${i + 1})`), changes))
    return
  }
  // Which of them correspond is not known: only their number says something.
  const isMore = (to?.length ?? 0) > (from?.length ?? 0)
  const narrowed = from === undefined || keyword === 'allOf' ? isMore : to !== undefined && !isMore
  changes.add(narrowed === (context.way === 'request'), context.at, `${keyword} has ${isMore ? 'more' : 'fewer'} parts: ${from?.length ?? 0} → ${to?.length ?? 0}`)
}

function inside (context: Context, step: string): Context {
  return { ...context, at: `${context.at}${step}` }
}
