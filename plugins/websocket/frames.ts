import type { StoredEvent } from '../events/index.ts'

/** The messages of the event that is being passed on: made once for a topic, whoever follows it. */
export class Frames {
  #event: StoredEvent | undefined
  readonly #byTopic = new Map<string, Buffer>()

  of (event: StoredEvent, topic: string): Buffer {
    if (this.#event !== event) {
      this.#event = event
      this.#byTopic.clear()
    }
    let frame = this.#byTopic.get(topic)
    if (frame === undefined) {
      frame = Buffer.from(`{"type":"event","topic":${JSON.stringify(topic)},"event":${event.json}}`)
      this.#byTopic.set(topic, frame)
    }
    return frame
  }
}
