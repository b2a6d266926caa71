/** Adds latency between the contenders and the server, and says how much it really was. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { summarise } from './statistics.js'

const SOURCE = fileURLToPath(new URL('../latency-proxy.c', import.meta.url))
const PINGS = 400

/** A server's connection string, with a known latency in front of it. */
export interface DelayedServer {
  readonly url: string
  /** What an echo through the proxy takes more than one without it, as measured. */
  readonly addedMillis: number
  /** What did it. */
  readonly by: string
  stop(): void
}

interface Program {
  readonly by: string
  readonly command: readonly [string, ...string[]]
  remove(): void
}

/** @param millis Added to each round trip. @param built Where `buildContenders` put the children. */
export async function delayed(url: string, millis: number, built: string): Promise<DelayedServer> {
  const program = compile(built)
  const { hostname, port } = new URL(url)
  const echo = createServer((socket) => socket.setNoDelay(true).pipe(socket)).listen(0, '127.0.0.1')
  await once(echo, 'listening')
  const { port: echoPort } = echo.address() as AddressInfo
  const direct = await roundTripMillis(echoPort)
  const added = async (oneWayMicros: number): Promise<number> => {
    const proxy = await start(program, '127.0.0.1', echoPort, oneWayMicros)
    const through = await roundTripMillis(proxy.port)
    proxy.stop()
    return through - direct
  }
  // Passing through a process takes time as well: that much less is waited.
  const oneWay = millis * 500
  const oneWayMicros = Math.max(0, oneWay - ((await added(oneWay)) - millis) * 500)
  const addedMillis = await added(oneWayMicros)
  echo.close()
  const proxy = await start(program, hostname, Number(port === '' ? 5432 : port), oneWayMicros)
  const through = new URL(url)
  through.hostname = '127.0.0.1'
  through.port = String(proxy.port)
  return {
    url: through.href,
    addedMillis,
    by: `${program.by}, ${oneWayMicros.toFixed(0)} us each way`,
    stop: () => {
      proxy.stop()
      program.remove()
    },
  }
}

function compile(built: string): Program {
  const folder = mkdtempSync(join(tmpdir(), 'lifeguard-bench-'))
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  const program = join(folder, 'latency-proxy')
  try {
    execFileSync('cc', ['-O2', '-o', program, SOURCE], { stdio: 'pipe' })
    return { by: 'latency-proxy.c', command: [program], remove }
  } catch (error) {
    console.warn(`latency-proxy.c cannot be compiled, so a slower proxy in Node is used: ${String(error)}`)
    return { by: 'slow-proxy.ts', command: [process.execPath, `${built}/harness/slow-proxy.js`], remove }
  }
}

async function start(
  { command: [program, ...options] }: Program,
  host: string,
  port: number,
  oneWayMicros: number,
): Promise<{ port: number; stop(): void }> {
  const child = spawn(program, [...options, host, String(port), String(oneWayMicros)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { port: Number(line.toString()), stop: () => end(child) }
}

function end(child: ChildProcess): void {
  child.stdin?.end()
  child.unref()
}

/** The median of some hundred echoes of a few bytes. */
async function roundTripMillis(port: number): Promise<number> {
  const socket = connect(port, '127.0.0.1').setNoDelay(true)
  await once(socket, 'connect')
  const taken: number[] = []
  for (let ping = 0; ping < PINGS; ping += 1) {
    const startedAt = performance.now()
    socket.write('lifeguard')
    await once(socket, 'data')
    if (ping >= PINGS / 4) taken.push(performance.now() - startedAt)
  }
  socket.destroy()
  return summarise(taken).median
}
