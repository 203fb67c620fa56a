import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

const SECONDS = [0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30]
const OUTCOMES = ['done', 'duplicate', 'retry', 'dead', 'released']

/** What brokers and their consumers do. */
export class MessageMetrics {
  readonly published = new Counter({ name: 'messages_published_total', help: 'Events that the broker has confirmed', labelNames: ['broker'], registers: [] })
  readonly unroutable = new Counter({ name: 'messages_unroutable_total', help: 'Events that the broker took and that nothing was bound for', labelNames: ['broker'], registers: [] })
  readonly handled = new Counter({ name: 'messages_handled_total', help: 'Deliveries of messages, by how they ended: done, duplicate, retry, dead (a dead letter), released (given back at shutdown)', labelNames: ['broker', 'consumer', 'outcome'], registers: [] })
  readonly redelivered = new Counter({ name: 'messages_redelivered_total', help: 'Deliveries that were not the first of their message', labelNames: ['broker', 'consumer'], registers: [] })
  readonly seconds = new Histogram({ name: 'message_handling_seconds', help: 'From the delivery of a message until it is settled', labelNames: ['broker', 'consumer'], buckets: SECONDS, registers: [] })
  readonly connected = new Gauge({ name: 'broker_connected', help: 'Whether this process is connected with the broker: 1 or 0', labelNames: ['broker'], registers: [] })

  /** For Prometheus a rise from nothing is no rise. */
  expect (broker: string, consumer: string): void {
    for (const outcome of OUTCOMES) this.handled.inc({ broker, consumer, outcome }, 0)
    this.redelivered.inc({ broker, consumer }, 0)
  }

  register (registry: Registry): void {
    for (const metric of [this.published, this.unroutable, this.handled, this.redelivered, this.seconds, this.connected]) registry.registerMetric(metric)
  }
}
