/** Starts the server of the run before the first test file, and stops it after the last. */
import { randomBytes } from 'node:crypto'
import type { TestProject } from 'vitest/node'
import { dropDatabases } from './databases.js'
import { startTestServer } from './test-server.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** Connection string of the run's server. */
    serverUrl: string
    /** What the names of this run's databases start with. */
    databasePrefix: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startTestServer()
  const prefix = `lifeguard_${randomBytes(4).toString('hex')}_`
  console.log(`PostgreSQL for the tests: ${server.description}`)
  project.provide('serverUrl', server.url)
  project.provide('databasePrefix', prefix)
  return async () => {
    await dropDatabases(server.url, prefix)
    await server.stop()
  }
}
