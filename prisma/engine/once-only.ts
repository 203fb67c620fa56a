/** An action that runs at its first call; further calls get the same outcome. */
export function onceOnly (action: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined
  return () => {
    done ??= action()
    return done
  }
}
