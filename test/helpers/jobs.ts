import type { JobAdmin, ListedJob } from '../../plugins/jobs/admin.ts'
import { driver } from '../../plugins/jobs/chosen.ts'

const ALL = 100_000

/** Where the jobs are: a service, or the URL of its database. */
interface Place { databaseUrl: string, config?: object }

/** Runs `use` on the jobs of a service, as a command would. */
export async function withJobs<T> ({ databaseUrl, config = {} }: Place, use: (admin: JobAdmin) => Promise<T>): Promise<T> {
  return await driver.admin({ databaseUrl, setting: name => (config as Record<string, string | undefined>)[name] ?? process.env[name] }, use)
}

/** The jobs of a queue that is there, dead ones among them, oldest first. */
export async function storedJobs (place: Place, queue: string): Promise<ListedJob[]> {
  return await withJobs(place, async ({ list }) => {
    const { jobs } = await list({ queue, all: true, limit: ALL })
    // For a failed one there is a dead one.
    return jobs.filter(({ state }) => state !== 'failed').sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime())
  })
}

/** The dead jobs of a queue that is there, oldest first. */
export async function deadJobs (place: Place, queue: string): Promise<ListedJob[]> {
  return await withJobs(place, async ({ list }) => (await list({ queue, state: 'dead', limit: ALL })).jobs.reverse())
}
