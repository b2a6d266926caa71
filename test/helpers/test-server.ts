/**
 * The one server of a test run, from wherever this machine has it:
 *
 * 1. `DATABASE_URL`, whose user must be allowed to create databases.
 * 2. Testcontainers, if a Docker engine answers (image: `PG_IMAGE`, default `postgres:18-alpine`).
 * 3. A local server; see `server-binaries.ts` for where its programs come from.
 *
 * `LIFEGUARD_PG` forces one: `docker`, or `local` (of which `embedded` and `system` are special cases).
 */
import { existsSync } from 'node:fs'
import { get } from 'node:http'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { SUPERUSER, shareCluster, startServer } from './local-server.js'

/** A running server. */
export interface TestServer {
  /** Connection string of a user who may create databases. */
  readonly url: string
  /** Where it came from, for people. */
  readonly description: string
  stop(): Promise<void>
}

const IMAGE = 'postgres:18-alpine'

export async function startTestServer(environment: NodeJS.ProcessEnv = process.env): Promise<TestServer> {
  const { DATABASE_URL, LIFEGUARD_PG, PG_IMAGE } = environment
  if (LIFEGUARD_PG === undefined && DATABASE_URL !== undefined && DATABASE_URL !== '') {
    return { url: DATABASE_URL, description: 'the server of DATABASE_URL', stop: () => Promise.resolve() }
  }
  if (LIFEGUARD_PG === 'docker') return startContainer(PG_IMAGE ?? IMAGE)
  if (LIFEGUARD_PG === undefined && (await dockerAnswers(environment))) {
    try {
      return await startContainer(PG_IMAGE ?? IMAGE)
    } catch (error) {
      // An engine that cannot get the image, say without network. Seen in the run's first lines, and no reason to fail.
      console.warn(`Docker answers but runs no ${PG_IMAGE ?? IMAGE}: ${String(error)}`)
    }
  }
  const cluster = await shareCluster()
  const server = await startServer()
  return {
    url: server.url,
    description: `a local server (process ${server.processId})`,
    stop: async () => {
      await server.dispose()
      await cluster[Symbol.asyncDispose]()
    },
  }
}

async function startContainer(image: string): Promise<TestServer> {
  // Not at the top: it takes a second to load, and most runs do not need it.
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql')
  const container = await new PostgreSqlContainer(image)
    .withUsername(SUPERUSER.user)
    .withPassword(SUPERUSER.password)
    .withDatabase('postgres')
    .withCommand(['postgres', '-c', 'fsync=off', '-c', 'max_connections=200'])
    .start()
  return {
    url: container.getConnectionUri(),
    description: `Testcontainers (${image})`,
    stop: async () => void (await container.stop()),
  }
}

/** Asks every place where an engine usually listens. */
async function dockerAnswers({ DOCKER_HOST, XDG_RUNTIME_DIR }: NodeJS.ProcessEnv): Promise<boolean> {
  if (DOCKER_HOST?.startsWith('tcp://') === true) return answers({ ...urlParts(DOCKER_HOST) })
  const sockets =
    DOCKER_HOST?.startsWith('unix://') === true
      ? [DOCKER_HOST.slice('unix://'.length)]
      : [
          '/var/run/docker.sock',
          join(homedir(), '.docker/run/docker.sock'),
          join(XDG_RUNTIME_DIR ?? '', 'docker.sock'),
        ]
  for (const socketPath of sockets) {
    if (existsSync(socketPath) && (await answers({ socketPath }))) return true
  }
  return false
}

function urlParts(address: string): { host: string; port: string } {
  const { hostname, port } = new URL(address)
  return { host: hostname, port }
}

function answers(where: { socketPath: string } | { host: string; port: string }): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ ...where, path: '/_ping', timeout: 1000 }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    request.on('timeout', () => request.destroy(new Error('timeout')))
    request.on('error', () => resolve(false))
  })
}
