import { Adapter, MessageType, type BroadcastOptions, type ClusterAdapter } from 'socket.io-adapter'

/** Stands for no process: all of them deliver such a message. */
const ALL = 'all'

interface Message { type: MessageType, nsp: string, uid: string, data: { packet: object, requestId?: string, opts: { rooms: string[], except: string[], flags?: object } } }
/** What a cluster adapter does with a message; the library has it as protected. */
interface Open { doPublish: (message: Message) => Promise<string> }

/** An adapter whose messages to rooms are in the same order for everyone. */
export interface SharedOrder extends Adapter {
  /** Resolves when all processes are going to deliver the message. */
  passOn: (packet: object, options: BroadcastOptions) => Promise<void>
}

/**
 * As the library has it, a process delivers its own messages at once and those of others when it reads them: two that speak
 * at once are heard in another order here than there. So each process delivers its own, too, when it reads them.
 */
export function inSharedOrder (adapter: ClusterAdapter, onFailure: (error: unknown) => void): SharedOrder {
  const open = adapter as unknown as Open
  const passOn = async (packet: object, { rooms, except, flags }: BroadcastOptions) => {
    await open.doPublish({ type: MessageType.BROADCAST, nsp: adapter.nsp.name, uid: ALL, data: { packet, opts: { rooms: [...rooms], except: [...except ?? []], ...flags === undefined ? {} : { flags } } } })
  }
  return Object.assign(adapter, {
    passOn,
    broadcast: async (packet: object, options: BroadcastOptions) => {
      if (options.flags?.local === true) return Adapter.prototype.broadcast.call(adapter, packet, options)
      // Whoever emits does not wait for this.
      await passOn(packet, options).catch(onFailure)
    }
  })
}
