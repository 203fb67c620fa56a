/** The groups of operations in the API reference, in its order. */
export const tags = [
  { name: 'auth', description: 'Sign up, sign in and keep a session; tokens and their keys' },
  { name: 'users', description: 'Accounts' },
  { name: 'products', description: 'The catalogue' },
  { name: 'orders', description: 'From pending to paid to shipped' },
  { name: 'events', description: 'What happens, as it happens' },
  // recipes: tags
  { name: 'problems', description: 'What the codes of error bodies mean' },
  { name: 'health', description: 'For load balancers and orchestrators' }
]
