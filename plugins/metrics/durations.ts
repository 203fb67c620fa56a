import type { Metric, Registry } from 'prom-client'

interface Exemplar { labelSet: { trace_id: string }, value: number, timestamp: number }
type Labels = Record<string, string | number>
interface Sample { labels: Labels, sharedLabels: Labels, value: number, metricName: string, exemplar?: Exemplar | undefined }

/** Upper bounds of the buckets, in seconds. */
const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** The durations that were observed with the same labels. */
export class Series {
  readonly labels: Labels
  readonly #counts = new Float64Array(BOUNDS.length + 1)
  readonly #exemplars: Exemplar[] = []
  #sum = 0

  constructor (labels: Labels) {
    this.labels = labels
  }

  observe (seconds: number, traceId?: string): void {
    let bucket = 0
    while (seconds > (BOUNDS[bucket] ?? Infinity)) bucket++
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
    this.#sum += seconds
    if (traceId !== undefined) this.#exemplars[bucket] = { labelSet: { trace_id: traceId }, value: seconds, timestamp: Date.now() / 1000 }
  }

  samples (name: string): Sample[] {
    const { labels: sharedLabels } = this
    let count = 0
    const buckets = Array.from(this.#counts, (value, bucket) => {
      count += value
      return { labels: { le: BOUNDS[bucket] ?? '+Inf' }, sharedLabels, value: count, metricName: `${name}_bucket`, exemplar: this.#exemplars[bucket] }
    })
    return [
      ...buckets,
      { labels: {}, sharedLabels, value: this.#sum, metricName: `${name}_sum` },
      { labels: {}, sharedLabels, value: count, metricName: `${name}_count` }
    ]
  }
}

/**
 * A histogram as prom-client's registry takes it. The library's own looks its labels up at every
 * observation, which takes several times as long, and knows exemplars only for one of the formats.
 */
export class Durations {
  readonly type = 'histogram'
  readonly name: string
  readonly help: string
  readonly #series: Series[] = []

  constructor (registry: Registry, name: string, help: string) {
    this.name = name
    this.help = help
    registry.registerMetric(this as unknown as Metric)
  }

  series (labels: Labels): Series {
    const series = new Series(labels)
    this.#series.push(series)
    return series
  }

  /** What the registry asks for; by an arrow, as it may ask a copy. */
  get = async (): Promise<object> => ({ name: this.name, help: this.help, type: this.type, values: this.#series.flatMap(series => series.samples(this.name)) })
}
