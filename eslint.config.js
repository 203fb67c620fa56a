import neostandard from 'neostandard'

/** Arrows point one way (README.md, where things are): what a room may not import. */
const walls = {
  'services/**/*.ts': ['**/plugins/**', '**/routes/**', '**/jobs/**', '**/kit/**', '**/app.ts', '**/server.ts', 'fastify', '@fastify/*'],
  'plugins/**/*.ts': ['**/routes/**', '**/services/**', '**/jobs/**', '**/kit/**', '**/app.ts', '**/server.ts'],
  'routes/**/*.ts': ['**/plugins/**', '**/prisma/**', '**/jobs/**', '**/kit/**', '**/app.ts', '**/server.ts', '@prisma/*'],
  'jobs/**/*.ts': ['**/plugins/**', '**/routes/**', '**/prisma/**', '**/kit/**', '**/app.ts', '**/server.ts', '@prisma/*', 'pg-boss'],
  'prisma/engine/**/*.ts': ['**/plugins/**', '**/routes/**', '**/services/**', '**/jobs/**', '**/kit/**', '**/app.ts', '**/server.ts']
}

const rooms = ['app.ts', 'server.ts', 'server/**/*.ts', 'plugins/**/*.ts', 'routes/**/*.ts', 'services/**/*.ts', 'jobs/**/*.ts']

export default [
  ...neostandard({ ts: true, ignores: ['prisma/generated/**', 'client/schema.d.ts', '.data/**', '.tap/**', 'coverage/**', 'recipes/**/*.js'] }),
  {
    files: ['**/*.ts'],
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false }],
      '@stylistic/comma-dangle': ['error', 'never'],
      // `void` marks a promise that is left alone on purpose.
      'no-void': 'off'
    }
  },
  {
    // A scope is a line, so that recipes and forks add and remove theirs.
    files: ['**/services/scopes.ts'],
    rules: { '@stylistic/comma-dangle': ['error', 'always-multiline'] }
  },
  {
    files: ['**/*.ts'],
    ignores: ['test/**', 'bench/**', 'recipes/*/{files,replaced}/{test,bench}/**'],
    rules: { '@typescript-eslint/no-non-null-assertion': 'error' }
  },
  {
    // Only the config plugin reads the environment.
    files: rooms,
    ignores: ['plugins/config/**'],
    rules: { 'no-restricted-properties': ['error', { object: 'process', property: 'env', message: 'Take it from fastify.config: plugins/config reads the environment.' }] }
  },
  {
    // What a browser runs.
    files: ['routes/console/*.js'],
    languageOptions: { globals: { document: 'readonly', location: 'readonly', EventSource: 'readonly', FormData: 'readonly', fetch: 'readonly' } }
  },
  ...Object.entries(walls).map(([files, group]) => ({
    files: [files],
    rules: { 'no-restricted-imports': ['error', { patterns: [{ group, message: 'Arrows between the rooms point one way: see the README.' }] }] }
  }))
]
