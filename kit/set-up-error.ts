/** Something the operator can put right; the message says how. */
export class SetUpError extends Error {
  /** It stays so however often one tries: a wrong password, a database that does not exist. */
  readonly isFinal: boolean

  constructor (message: string, { isFinal = false }: { isFinal?: boolean } = {}) {
    super(message)
    this.isFinal = isFinal
  }
}
