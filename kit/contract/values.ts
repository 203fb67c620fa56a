// How the set of values that a keyword allows has changed.
import { isDeepStrictEqual } from 'node:util'
import type { Changes, Context, Schema } from './document.ts'

type Move = 'narrowed' | 'widened' | 'changed'

const LOWER = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties']
const UPPER = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties']
/** Keywords whose values cannot be compared: with one there are fewer values than without. */
const OPAQUE = ['pattern', 'format', 'multipleOf', 'uniqueItems']
/** Formats that validators do not check: they say how to show or store a value. */
const HINTS = new Set(['int32', 'int64', 'password'])

/** Compares everything that a schema says of single values. */
export function compareValues (before: Schema, after: Schema, context: Context, changes: Changes): void {
  compareTypes(before, after, context, changes)
  compareEnums(before, after, context, changes)
  for (const keyword of [...LOWER, ...UPPER]) {
    const [from, to] = [before[keyword], after[keyword]] as [number | undefined, number | undefined]
    if (from === to) continue
    const rises = from === undefined || (to !== undefined && to > from)
    const narrowed = LOWER.includes(keyword) ? rises : from === undefined || (to !== undefined && to < from)
    report(narrowed ? 'narrowed' : 'widened', keyword, from, to, context, changes)
  }
  for (const keyword of OPAQUE) {
    const [from, to] = [before[keyword], after[keyword]].map(value => HINTS.has(String(value)) ? undefined : value)
    if (isDeepStrictEqual(from, to)) continue
    report(from === undefined ? 'narrowed' : to === undefined ? 'widened' : 'changed', keyword, from, to, context, changes)
  }
}

/** The types that a schema allows; undefined: any. */
function typesOf ({ type }: Schema): string[] | undefined {
  return type === undefined ? undefined : [type].flat()
}

function compareTypes (before: Schema, after: Schema, context: Context, changes: Changes): void {
  const [from, to] = [typesOf(before), typesOf(after)]
  if (isDeepStrictEqual(from?.toSorted(), to?.toSorted())) return
  const within = (some: string[] | undefined, others: string[] | undefined) => others === undefined ||
    (some?.every(type => others.includes(type) || (type === 'integer' && others.includes('number'))) ?? false)
  const move = within(to, from) ? 'narrowed' : within(from, to) ? 'widened' : 'changed'
  report(move, 'type', from?.join(' or '), to?.join(' or '), context, changes)
}

function compareEnums (before: Schema, after: Schema, { at, way }: Context, changes: Changes): void {
  const [from, to] = [before, after].map(({ enum: values, const: only }) => only === undefined ? values : [only])
  const lost = from === undefined ? [] : to === undefined ? [] : from.filter(value => !to.some(other => isDeepStrictEqual(other, value)))
  const gained = from === undefined || to === undefined ? [] : to.filter(value => !from.some(other => isDeepStrictEqual(other, value)))
  if (lost.length > 0) changes.add(way === 'request', at, `no longer one of its values: ${text(lost)}`)
  if (gained.length > 0) changes.add(way === 'response', at, `new among its values: ${text(gained)}`)
  if (from === undefined && to !== undefined) changes.add(way === 'request', at, `only these values now: ${text(to)}`)
  if (from !== undefined && to === undefined) changes.add(way === 'response', at, `any value now, not only ${text(from)}`)
}

function report (move: Move, keyword: string, from: unknown, to: unknown, { at, way }: Context, changes: Changes): void {
  const breaking = move === 'changed' || move === (way === 'request' ? 'narrowed' : 'widened')
  changes.add(breaking, at, `${keyword} ${move}: ${text(from)} → ${text(to)}`)
}

function text (value: unknown): string {
  return value === undefined ? 'any' : Array.isArray(value) ? value.map(item => JSON.stringify(item)).join(', ') : String(value)
}
