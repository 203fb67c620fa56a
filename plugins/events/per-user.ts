/** How many streams or connections each user has. */
export class PerUser {
  readonly #counts = new Map<string, number>()

  of (userId: string): number {
    return this.#counts.get(userId) ?? 0
  }

  add (userId: string): void {
    this.#counts.set(userId, this.of(userId) + 1)
  }

  delete (userId: string): void {
    const rest = this.of(userId) - 1
    if (rest > 0) this.#counts.set(userId, rest)
    else this.#counts.delete(userId)
  }
}
