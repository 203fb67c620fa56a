/**
 * What a promise resolves to, or after `ms` milliseconds what `late` returns or throws. The promise goes on;
 * what it rejects with then is nobody's. The timer keeps no process up.
 */
export async function within<T, L = undefined> (promise: Promise<T>, ms: number, late: () => L): Promise<T | L> {
  const { promise: over, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), ms).unref()
  try {
    return await Promise.race([promise, over.then(late)])
  } finally {
    clearTimeout(timer)
  }
}
