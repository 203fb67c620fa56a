import type { ChangeStreamDocument, Document } from 'mongodb'

/** A document was written. */
export interface Change {
  kind: 'created' | 'changed' | 'deleted'
  /** `_id` of the document. */
  id: unknown
  /** The document as MongoDB has it when the change is read, which may be later than the change; null when it is gone by then. */
  document: Document | null
}

const KINDS: Record<string, Change['kind']> = { insert: 'created', update: 'changed', replace: 'changed', delete: 'deleted' }

/** What a change stream tells of a document; undefined for what is told of the collection, as that it was dropped. */
export function toChange (told: ChangeStreamDocument): Change | undefined {
  const kind = KINDS[told.operationType]
  if (kind === undefined || !('documentKey' in told)) return undefined
  return { kind, id: told.documentKey._id, document: ('fullDocument' in told ? told.fullDocument : undefined) ?? null }
}
