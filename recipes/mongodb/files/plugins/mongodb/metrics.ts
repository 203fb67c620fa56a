import type { CommandFailedEvent, CommandSucceededEvent } from 'mongodb'
import { Gauge, Histogram, type Registry } from 'prom-client'
import type { MongoLink } from './link.ts'

const SECONDS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5]

/** Commands of the driver, its connections, and whether there is a server. */
export function measure ({ client, ...link }: Pick<MongoLink, 'client'> & { isUp: () => boolean }, registry: Registry): void {
  const commands = new Histogram({ name: 'mongodb_command_duration_seconds', help: 'Commands to MongoDB, until the answer is there', labelNames: ['command', 'outcome'], buckets: SECONDS, registers: [registry] })
  // Those of the driver itself, and ones that wait for changes, say nothing.
  const isOurs = ({ commandName }: CommandSucceededEvent | CommandFailedEvent) => !['getMore', 'endSessions', 'killCursors', 'ping'].includes(commandName)
  client.on('commandSucceeded', event => { if (isOurs(event)) commands.observe({ command: event.commandName, outcome: 'ok' }, event.duration / 1000) })
  client.on('commandFailed', event => { if (isOurs(event)) commands.observe({ command: event.commandName, outcome: 'failed' }, event.duration / 1000) })
  let open = 0
  let inUse = 0
  client.on('connectionCreated', () => { open++ })
  client.on('connectionClosed', () => { open-- })
  client.on('connectionCheckedOut', () => { inUse++ })
  client.on('connectionCheckedIn', () => { inUse-- })
  const gauge = (name: string, help: string, read: () => number) => {
    const metric: Gauge = new Gauge({ name, help, registers: [registry], collect: () => metric.set(read()) })
  }
  gauge('mongodb_up', 'Whether a server of MongoDB can be written to: 1 or 0', () => Number(link.isUp()))
  gauge('mongodb_connections', 'Connections of this process to MongoDB', () => open)
  gauge('mongodb_connections_in_use', 'Of these, those that do something', () => inUse)
}
