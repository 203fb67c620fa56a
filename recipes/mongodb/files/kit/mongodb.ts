// The collections of MongoDB: validators and indexes, as services/mongodb/collections.ts says. A part of `npm run db:migrate`,
// and outside production of `npm start`.
import { MongoClient } from 'mongodb'
import { prepareCollections } from '../plugins/mongodb/schema.ts'
import { readEnvironment, readSecret } from '../prisma/cli-config.ts'
import { collections } from '../services/mongodb/collections.ts'
import { CommandError } from './database.ts'

const CONNECT_MS = 5_000

/**
 * Makes what the database of the settings lacks, and says so; without MONGODB_URL nothing.
 * @throws CommandError
 */
export async function migrateCollections (): Promise<void> {
  const url = readSecret(readEnvironment(), 'MONGODB_URL')
  if (url === undefined) return
  try {
    const made = await setUpCollections(url)
    console.log(made.length === 0 ? 'The collections of MongoDB are up to date.' : `MongoDB has now: ${made.join(', ')}.`)
  } catch (error) {
    throw new CommandError(`The collections of MongoDB could not be made: ${(error as Error).message}`)
  }
}

/** @returns what was made @throws the driver's error, or one in words for the operator */
async function setUpCollections (url: string): Promise<string[]> {
  const client = new MongoClient(url, { serverSelectionTimeoutMS: CONNECT_MS, connectTimeoutMS: CONNECT_MS })
  try {
    return await prepareCollections(client.db(), collections)
  } finally {
    await client.close()
  }
}

/** For a start outside production: a server that is away holds nothing up. */
export async function setUpMongodb (url: string | undefined): Promise<void> {
  if (url === undefined) return
  try {
    const made = await setUpCollections(url)
    if (made.length > 0) process.stderr.write(`MongoDB has now: ${made.join(', ')}\n`)
  } catch (error) {
    process.stderr.write(`The collections of MongoDB could not be made: ${(error as Error).message}. The service starts and is not ready until they are (npm run db:migrate).\n`)
  }
}
