// The library's own counts in memory, which it has no types for.
declare module '@fastify/rate-limit/store/LocalStore.js' {
  interface Counter {
    incr: (key: string, callback: (error: Error | null, count?: { current: number, ttl: number }) => void, timeWindow: number, max: number) => void
    child: (options: object) => Counter
  }
  const LocalStore: new (continueExceeding: boolean, exponentialBackoff: boolean) => Counter
  export default LocalStore
}
