import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import { coalesced } from './coalesced.ts'
import type { HeldJobs } from './held.ts'
import { BEAT_MS, LOOK_MS } from './settings.ts'
import { forget, recover } from './upkeep.ts'

export interface RoundsOptions {
  pool: pg.Pool
  held: HeldJobs
  log: FastifyBaseLogger
  /** Is told of jobs that are due again. */
  freed: (queue: string) => void
}

/** What a worker does now and then. */
export interface Rounds {
  /** What went wrong the last time. */
  problem: () => string | undefined
  stop: () => void
}

/** Gives signs of life, takes jobs from workers that give none, and forgets old ones. */
export function createRounds ({ pool, held, log, freed }: RoundsOptions): Rounds {
  let problem: string | undefined

  const beat = coalesced(() => held.beat().catch(error => log.debug({ err: error }, 'a sign of life could not be given')))
  const look = coalesced(async () => {
    try {
      for (const name of new Set(await recover(pool, log))) freed(name)
      await forget(pool)
      problem = undefined
    } catch (error) {
      if (problem === undefined) log.warn({ err: error }, 'the jobs have trouble with the database')
      problem = (error as Error).message
    }
  })
  const timers = [setInterval(beat, BEAT_MS), setInterval(look, LOOK_MS)]
  look()

  return {
    problem: () => problem,
    stop: () => { for (const timer of timers) clearInterval(timer) }
  }
}
