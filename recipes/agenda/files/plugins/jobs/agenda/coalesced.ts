/** Runs what never rejects when it is called, and once more when it was called meanwhile. */
export function coalesced (work: () => Promise<unknown>): () => void {
  let isRunning = false
  let again = false

  async function run (): Promise<void> {
    isRunning = true
    while (again) {
      again = false
      await work()
    }
    isRunning = false
  }

  return () => {
    again = true
    if (!isRunning) void run()
  }
}
