import { clientMessages, closeCodes, protocolCodes, replies, serverMessages, SUBPROTOCOL, topicPattern, type SocketRoute, type Topic } from '../../websocket/index.ts'

export interface Info { title: string, version: string, description?: string, license?: { name: string }, contact?: { name: string, url: string } }

interface Message { title: string, description?: string, payload: object, examples?: { payload: unknown }[] }
interface Schema { $id?: string, title?: string, examples?: unknown[] }

const received = clientMessages as Record<keyof typeof clientMessages, Schema>
const sent = serverMessages as Record<keyof typeof serverMessages, Schema>

/**
 * The AsyncAPI 3 document of the WebSockets, made of the schemas that their messages are checked with.
 * A channel is a route; the service receives what clients send, and sends what happens on their topics.
 */
export function asyncapiDocument ({ title, version, description, license, contact }: Info, routes: readonly SocketRoute[]): object {
  const named = routes.map(route => ({ route, name: nameOf(route.url) }))
  const topics = named.flatMap(({ route, name }) => route.topics.map(topic => ({ name: eventName(name, topic), topic })))
  const messages = {
    ...Object.fromEntries(Object.entries<Schema>({ ...received, ...sent }).map(([type, schema]) => [type, messageOf(schema)])),
    ...Object.fromEntries(topics.map(({ name, topic }) => [name, eventOf(topic)]))
  }
  return {
    asyncapi: '3.0.0',
    info: { title, version, description, ...license === undefined ? {} : { license: { name: license.name } }, contact },
    defaultContentType: 'application/json',
    channels: Object.fromEntries(named.map(({ route, name }) => [name, channelOf(route, name)])),
    operations: Object.assign({}, ...named.map(({ route, name }) => operationsOf(route, name))),
    components: {
      messages,
      schemas: schemasFor(messages, knownSchemas(routes)),
      securitySchemes: { accessToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'In the header of the request that opens the WebSocket, or what its description says instead' } }
    }
  }
}

function channelOf ({ url, summary, description, query, topics }: SocketRoute, name: string): object {
  const types = [...Object.keys(received), ...Object.keys(sent), ...topics.map(topic => eventName(name, topic))]
  const codes = [...Object.entries(protocolCodes), ...Object.values(closeCodes).map(({ code, meaning }) => [String(code), meaning] as const)]
  const closing = [...new Set(codes.map(([code, meaning]) => `- ${code}: ${meaning}`))].sort()
  const following = topics.map(topic => `- \`${topic.name}\`: ${topic.description}${topic.scopes.length === 0 ? '' : ` Needs ${topic.scopes.join(', ')}.`}`)
  return {
    address: url,
    title: summary,
    description: `${description}${following.length === 0 ? '' : `\n\nTopics:\n${following.join('\n')}`}\n\nClose codes:\n${closing.join('\n')}`,
    messages: Object.fromEntries(types.map(type => [type, { $ref: `#/components/messages/${type}` }])),
    bindings: {
      ws: {
        method: 'GET',
        headers: { type: 'object', properties: { 'Sec-WebSocket-Protocol': { type: 'string', description: `The subprotocols that the client offers; the service takes ${SUBPROTOCOL}` } } },
        ...query === undefined ? {} : { query: local(query) },
        bindingVersion: '0.1.0'
      }
    }
  }
}

function operationsOf ({ topics }: SocketRoute, name: string): Record<string, object> {
  const channel = { $ref: `#/channels/${name}` }
  const security = [{ $ref: '#/components/securitySchemes/accessToken' }]
  const refs = (types: readonly string[]) => types.map(type => ({ $ref: `#/channels/${name}/messages/${type}` }))
  const incoming = Object.entries(received).map(([type, { title }]) => {
    const answers = replies[type as keyof typeof replies]
    return [`${name}.${type}`, { action: 'receive', channel, title, security, messages: refs([type]), ...answers.length === 0 ? {} : { reply: { channel, messages: refs(answers) } } }] as const
  })
  const outgoing = {
    [`${name}.event`]: { action: 'send', channel, title: 'Something happened on a topic', security, messages: refs(topics.map(topic => eventName(name, topic))) },
    [`${name}.reset`]: { action: 'send', channel, title: sent.reset.title, security, messages: refs(['reset']) },
    [`${name}.error`]: { action: 'send', channel, title: sent.error.title, security, messages: refs(['error']) }
  }
  return { ...Object.fromEntries(incoming), ...outgoing }
}

function messageOf (schema: Schema): Message {
  const { title = '', examples, ...payload } = schema
  return { title, payload: local(payload), ...examples === undefined ? {} : { examples: examples.map(payload => ({ payload })) } }
}

function eventOf (topic: Topic): Message {
  return {
    title: 'Something happened',
    description: topic.description,
    payload: {
      type: 'object',
      required: ['type', 'topic', 'event'],
      properties: { type: { type: 'string', const: 'event' }, topic: { type: 'string', pattern: topicPattern(topic).replaceAll(/\(\?<\w+>/g, '(?:') }, event: { $ref: `#/components/schemas/${eventId(topic)}` } },
      additionalProperties: false
    }
  }
}

function knownSchemas (routes: readonly SocketRoute[]): Record<string, Schema> {
  const events = routes.flatMap(({ topics }) => topics.map(topic => [eventId(topic), topic.event] as const))
  return Object.assign(Object.fromEntries(events), ...routes.map(({ schemas }) => schemas()))
}

function eventId ({ name, event }: Topic): string {
  const { $id } = event as Schema
  if ($id === undefined) throw new Error(`the schema of the events of ${name} needs an $id`)
  return $id
}

function unknown (name: string): never {
  throw new Error(`the events of a topic refer to the schema ${name}, which is not there: addSchema(${name}) beside the route of the WebSocket`)
}

/** The schemas that are referred to, and those that these refer to. */
function schemasFor (messages: object, known: Record<string, Schema>): Record<string, object> {
  const found: Record<string, object> = {}
  const todo: unknown[] = [messages]
  while (todo.length > 0) {
    for (const [, name = ''] of JSON.stringify(todo.pop()).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (name in found) continue
      const schema = { ...known[name] ?? unknown(name) }
      delete schema.$id
      todo.push(found[name] = local(schema))
    }
  }
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => a < b ? -1 : 1))
}

/** A schema whose references are local to the document. */
function local (schema: object): object {
  return JSON.parse(JSON.stringify(schema).replace(/"\$ref":"([^"#]+)#"/g, '"$ref":"#/components/schemas/$1"')) as object
}

/** /ws is ws. */
function nameOf (url: string): string {
  return url.split(/\W+/).filter(part => part !== '').join('.')
}

/** The message of a topic: orders/{id} on ws is ws.event.orders.id. */
function eventName (channel: string, { name }: Topic): string {
  return `${channel}.event.${nameOf(name)}`
}
