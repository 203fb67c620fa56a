/** How many uploads are under way in this process, and of whom. */
export interface Admission {
  /**
   * Lets an upload of a user begin.
   * @returns what ends it; 'user' or 'process' when as many as may are under way of this user, or of all
   */
  enter: (userId: string) => (() => void) | 'user' | 'process'
  /** Those under way. */
  count: () => number
}

export function admission ({ perUser, inAll }: { perUser: number, inAll: number }): Admission {
  const users = new Map<string, number>()
  let all = 0

  return {
    enter (userId) {
      const own = users.get(userId) ?? 0
      if (own >= perUser) return 'user'
      if (all >= inAll) return 'process'
      all++
      users.set(userId, own + 1)
      return () => {
        all--
        const left = (users.get(userId) ?? 1) - 1
        if (left === 0) users.delete(userId)
        else users.set(userId, left)
      }
    },
    count: () => all
  }
}
