/**
 * Requests at a fixed rate, whether or not earlier ones are answered: what users do. (autocannon's `overallRate` sends the requests of each second
 * in a burst at its beginning, so the queue that it measures is its own.)
 *
 * HTTP/1.1 over plain sockets, as little of it as Fastify's answers need: a status and `content-length`.
 */
import { connect, type Socket } from 'node:net'

export interface OpenLoop {
  readonly port: number
  readonly path: string
  readonly perSecond: number
  readonly millis: number
  /** Requests that are due while so many are on their way wait for an answer. */
  readonly connections: number
}

export interface LoadResult {
  readonly seconds: number
  /** Requests that were due. */
  readonly due: number
  /** Answered with 200 until the end. */
  readonly answered: number
  /** Answered with 503 until the end. */
  readonly refused: number
  /** From the moment when the request was due, of those answered with 200; in milliseconds. */
  readonly p50: number
  readonly p99: number
}

/** @throws Error If an answer is neither 200 nor 503. */
export async function openLoop({
  port,
  path,
  perSecond,
  millis,
  connections,
}: OpenLoop): Promise<LoadResult> {
  const request = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
  const latencies: number[] = []
  const idle: Line[] = []
  const lines: Line[] = []
  let due = 0
  let sent = 0
  let underWay = 0
  let refused = 0
  let over = false
  let failure: Error | undefined
  const startedAt = performance.now()
  /** When the request of this number was due. */
  const dueAt = (number: number): number => startedAt + (number * 1_000) / perSecond

  const send = (): void => {
    while (sent < due && !over) {
      const line = idle.pop() ?? (lines.length < connections ? open() : undefined)
      if (line === undefined) return
      line.dueAt = dueAt(sent)
      sent += 1
      underWay += 1
      line.socket.write(request)
    }
  }
  const open = (): Line => {
    const line = new Line(port, (status, body) => {
      underWay -= 1
      idle.push(line)
      if (status === 200) {
        if (!over) latencies.push(performance.now() - line.dueAt)
      } else if (status === 503) {
        if (!over) refused += 1
      } else failure ??= new Error(`${path} answered ${String(status)}: ${body}`)
      send()
    })
    line.socket.on('error', (error) => (failure ??= error))
    lines.push(line)
    return line
  }

  await every(1, () => {
    const elapsed = Math.min(performance.now() - startedAt, millis)
    due = Math.floor((elapsed * perSecond) / 1_000)
    send()
    return elapsed < millis && failure === undefined
  })
  over = true
  const seconds = (performance.now() - startedAt) / 1_000
  // What is on its way is answered first: the next contender is not to share the machine with it.
  const giveUpAt = performance.now() + 60_000
  await every(5, () => underWay > 0 && failure === undefined && performance.now() < giveUpAt)
  for (const { socket } of lines) socket.destroy()
  if (failure !== undefined) throw failure
  return { seconds, due, answered: latencies.length, refused, ...percentiles(latencies) }
}

/** NaN if there is none. */
export function percentiles(latencies: readonly number[]): { readonly p50: number; readonly p99: number } {
  const sorted = Float64Array.from(latencies).sort()
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
  return { p50: at(0.5), p99: at(0.99) }
}

/** A connection with at most one request on its way. */
class Line {
  readonly socket: Socket
  dueAt = 0
  #received = ''
  #length = -1

  constructor(port: number, onAnswer: (status: number, body: string) => void) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.socket.setEncoding('latin1').on('data', (text: string) => {
      this.#received += text
      const head = this.#received.indexOf('\r\n\r\n')
      if (head < 0) return
      if (this.#length < 0) this.#length = Number(/content-length: (\d+)/i.exec(this.#received)?.[1] ?? NaN)
      if (!(this.#received.length >= head + 4 + this.#length)) return
      const status = Number(this.#received.slice(9, 12))
      const body = this.#received.slice(head + 4)
      this.#received = ''
      this.#length = -1
      onAnswer(status, body)
    })
  }
}

/** Calls `step` every so many milliseconds until it returns false. */
function every(millis: number, step: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if (step()) return
      clearInterval(timer)
      resolve()
    }, millis)
  })
}
