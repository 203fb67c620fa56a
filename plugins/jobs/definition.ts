import type { TSchema } from 'typebox'
import { payloadCheck } from '../../server/payload.ts'
import type { Job, JobDefinition } from './types.ts'

const NAME = /^[a-z0-9][\w.-]{0,59}$/i
const DEAD = '.dead'
const MAX_TIMEOUT_SECONDS = 12 * 3600

/**
 * Fills in a definition's defaults.
 * @throws Error that names the job and what is wrong with it
 */
export function completeDefinition<Schema extends TSchema> (definition: JobDefinition<Schema>): Job {
  const { name, payload, handler, retry = {}, concurrency = 4, batch = 1, timeoutSeconds = 60, policy = 'standard', schedule } = definition
  const wrong = (what: string) => new Error(`The job ${JSON.stringify(name)} is not well declared: ${what}.`)
  if (!NAME.test(name) || name.endsWith(DEAD)) throw wrong(`its name is letters, digits, "-", "_" and ".", at most 60, not ending in ${DEAD}`)
  const { limit = 5, delaySeconds = 1, maxDelaySeconds = 600 } = retry
  const whole: [string, number, number, number][] = [
    ['retry.limit', limit, 0, 1000], ['retry.delaySeconds', delaySeconds, 0, 86_400], ['retry.maxDelaySeconds', maxDelaySeconds, 0, 7 * 86_400],
    ['concurrency', concurrency, 1, 10_000], ['batch', batch, 1, concurrency], ['timeoutSeconds', timeoutSeconds, 1, MAX_TIMEOUT_SECONDS]
  ]
  for (const [what, value, minimum, maximum] of whole) {
    if (!Number.isInteger(value) || value < minimum || value > maximum) throw wrong(`${what} is ${value}, expected a whole number from ${minimum} to ${maximum}`)
  }
  const check = payloadCheck(payload, { allErrors: true })
  const scheduled = schedule === undefined ? undefined : { ...schedule, payload: schedule.payload ?? {} }
  const misfit = scheduled === undefined ? undefined : check(scheduled.payload)
  if (misfit !== undefined) throw wrong(`the payload of its schedule does not fit its schema: ${misfit}`)
  return { name, deadLetter: `${name}${DEAD}`, retry: { limit, delaySeconds, maxDelaySeconds }, concurrency, batch, timeoutSeconds, policy, schedule: scheduled, handler, check }
}
