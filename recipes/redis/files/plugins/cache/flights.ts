/** What a load under way comes to. `isCurrent`: nothing of it was invalidated meanwhile, so that it serves those who came later, too. */
export interface Landing<Value> { value: Value, isCurrent: boolean }

/** The loads of this process that are under way, by key: who comes meanwhile waits for the same. */
export class Flights {
  readonly #all = new Map<string, { tags: readonly string[], landing: Promise<Landing<unknown>> }>()

  of<Value> (key: string): Promise<Landing<Value>> | undefined {
    return this.#all.get(key)?.landing as Promise<Landing<Value>> | undefined
  }

  start<Value> (key: string, tags: readonly string[], fly: () => Promise<Landing<Value>>): Promise<Landing<Value>> {
    const landing = fly()
    const flight = { tags, landing }
    this.#all.set(key, flight)
    const over = () => { if (this.#all.get(key) === flight) this.#all.delete(key) }
    landing.then(over, over)
    return landing
  }

  /** Who comes from now on waits for none of these: they may have read what was before. */
  forget (tags: ReadonlySet<string>): void {
    for (const [key, flight] of this.#all) if (flight.tags.some(tag => tags.has(tag))) this.#all.delete(key)
  }
}
