/** Runs a command with DATABASE_URL set to a server of its own: `tsx .ci/with-server.ts COMMAND...`. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { shareCluster, startServer } from '../test/helpers/local-server.js'

const [command = '', ...options] = process.argv.slice(2)
await using _cluster = await shareCluster()
await using server = await startServer()
const child = spawn(command, options, { stdio: 'inherit', env: { ...process.env, DATABASE_URL: server.url } })
const [code] = (await once(child, 'exit')) as [number | null]
process.exitCode = code ?? 1
