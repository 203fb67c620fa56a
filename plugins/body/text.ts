import { isStorable } from '../../server/storable.ts'
import { pointerToken } from '../errors/problem.ts'

interface Place { value: object, key: string, parent: Place | undefined }

/**
 * The error for the first string that PostgreSQL could not store as it is. Walks without
 * recursion, as depth is the client's choice, and says where it is only of a string that offends.
 */
export function unstorable (part: string, root: unknown): Error | undefined {
  if (typeof root === 'string') return isStorable(root) ? undefined : refusal(part, '')
  if (typeof root !== 'object' || root === null) return undefined
  const todo: Place[] = [{ value: root, key: '', parent: undefined }]
  for (let place = todo.pop(); place; place = todo.pop()) {
    for (const [key, child] of Array.isArray(place.value) ? place.value.entries() : Object.entries(place.value)) {
      if (typeof child === 'string') {
        if (!isStorable(child)) return refusal(part, `${pathOf(place)}/${pointerToken(String(key))}`)
      } else if (typeof child === 'object' && child !== null) {
        todo.push({ value: child as object, key: String(key), parent: place })
      }
    }
  }
  return undefined
}

function pathOf (place: Place): string {
  const keys: string[] = []
  for (let at: Place | undefined = place; at?.parent !== undefined; at = at.parent) keys.push(pointerToken(at.key))
  return keys.reverse().map(key => `/${key}`).join('')
}

function refusal (part: string, instancePath: string): Error {
  return Object.assign(new Error('unstorable text'), {
    statusCode: 400,
    validationContext: part,
    validation: [{ instancePath, keyword: 'text', params: {}, message: 'must not contain NUL characters or unpaired surrogates' }]
  })
}
