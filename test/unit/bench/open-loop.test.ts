import { createServer, type AddressInfo, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { openLoop, percentiles, type LoadResult } from '../../../bench/harness/open-loop.js'

const closers: (() => void)[] = []
afterEach(() => closers.splice(0).forEach((close) => close()))

/** A server that answers each request by itself. Returns its port. */
async function serverOf(answer: (socket: Socket, number: number) => void): Promise<number> {
  let requests = 0
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', () => answer(socket, (requests += 1)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => server.close())
  return (server.address() as AddressInfo).port
}

const answerOf = (status: number, body: string): string =>
  `HTTP/1.1 ${String(status)} Any\r\nContent-Length: ${String(Buffer.byteLength(body))}\r\n\r\n${body}`

/** 20 requests, one every 10 ms. */
const load = (port: number, connections = 10): Promise<LoadResult> =>
  openLoop({ port, path: '/', perSecond: 100, millis: 200, connections })

describe('requests at a fixed rate', () => {
  test('are as many as were due, and are counted by what is answered', async () => {
    const port = await serverOf((socket, number) => socket.write(answerOf(number % 2 === 0 ? 503 : 200, 'é')))
    const { due, answered, refused, p50, p99 } = await load(port)
    expect(due).toBe(20)
    expect(answered + refused).toBeLessThanOrEqual(20)
    expect(answered).toBeGreaterThan(0)
    expect(refused).toBeGreaterThan(0)
    expect(p99).toBeGreaterThanOrEqual(p50)
    expect(p50).toBeGreaterThan(0)
  })

  test('are read from answers that come in parts', async () => {
    const port = await serverOf((socket) => {
      const text = answerOf(200, 'one body')
      socket.write(text.slice(0, 20))
      setImmediate(() => {
        socket.write(text.slice(20, 45))
        setImmediate(() => socket.write(text.slice(45)))
      })
    })
    expect((await load(port)).answered).toBeGreaterThan(0)
  })

  test('fail for an answer that is neither 200 nor 503', async () => {
    const port = await serverOf((socket) => socket.write(answerOf(500, 'a fault of the service')))
    await expect(load(port)).rejects.toThrow('/ answered 500: a fault of the service')
  })

  test('fail if no server listens', async () => {
    const port = await serverOf(() => undefined)
    closers.splice(0).forEach((close) => close())
    await expect(load(port)).rejects.toThrow('ECONNREFUSED')
  })

  test('are never more at once than there are connections, and the others wait for an answer', async () => {
    let underWay = 0
    let most = 0
    const port = await serverOf((socket) => {
      underWay += 1
      most = Math.max(most, underWay)
      setTimeout(() => {
        underWay -= 1
        socket.write(answerOf(200, 'late'))
      }, 30)
    })
    const { due, answered } = await load(port, 2)
    expect(most).toBeLessThanOrEqual(2)
    // Two connections, 30 ms each: 14 at most in 200 ms.
    expect(due).toBe(20)
    expect(answered).toBeLessThan(due)
    // What was on its way in the end has been answered before the result came.
    expect(underWay).toBe(0)
  })
})

test('percentiles are those of the values in order, and no number without any', () => {
  const values = Array.from({ length: 200 }, (_, at) => 200 - at)
  expect(percentiles(values)).toEqual({ p50: 101, p99: 199 })
  expect(percentiles([7])).toEqual({ p50: 7, p99: 7 })
  expect(percentiles([])).toEqual({ p50: NaN, p99: NaN })
})
