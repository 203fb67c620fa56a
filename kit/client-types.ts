import openapiTS, { astToString, type OpenAPI3 } from 'openapi-typescript'

/** The TypeScript types of an OpenAPI document: what client/schema.d.ts holds. */
export async function clientTypes (document: string): Promise<string> {
  const types = astToString(await openapiTS(JSON.parse(document) as OpenAPI3, { silent: true, alphabetize: true }))
  return `// Generated from openapi.json by \`npm run client\`: do not edit.\n\n${types}`
}
