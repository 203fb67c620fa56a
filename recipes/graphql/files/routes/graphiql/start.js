// GraphiQL on this service. An access token goes into the tab "Headers": { "authorization": "Bearer …" }.
/* global document, fetch, location, React, ReactDOM, GraphiQL, graphqlWs */

let headers = {}

// A browser can't send the token with the request that opens a WebSocket: a ticket stands for it.
async function socketUrl () {
  const response = await fetch('/ws/tickets', { method: 'POST', headers })
  const { ticket, detail } = await response.json()
  if (ticket === undefined) throw new Error(detail)
  return `${location.origin.replace(/^http/, 'ws')}/graphql?ticket=${ticket}`
}

function read (query) {
  try {
    return GraphiQL.GraphQL.parse(query)
  } catch {
    // The service says what is wrong with it.
    return undefined
  }
}

const fetcher = GraphiQL.createFetcher({
  url: '/graphql',
  wsClient: graphqlWs.createClient({ url: socketUrl, retryAttempts: 0, lazyCloseTimeout: 0 })
})

ReactDOM.createRoot(document.getElementById('graphiql')).render(React.createElement(GraphiQL, {
  fetcher: (parameters, options) => {
    headers = options?.headers ?? {}
    // Read anew: what the editor knows of the query may be of a moment ago.
    return fetcher(parameters, { ...options, documentAST: read(parameters.query) })
  },
  defaultEditorToolsVisibility: 'headers',
  defaultQuery: '# An access token (npm run -s kit -- token) goes into "Headers": { "authorization": "Bearer …" }\n\n{\n  products(first: 5) {\n    nodes {\n      name\n      stock\n    }\n  }\n}\n'
}))
