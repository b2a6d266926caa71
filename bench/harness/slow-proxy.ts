/**
 * What latency-proxy.c does, for machines without a C compiler or without epoll: same arguments, same output. Timers of
 * Node are good to a millisecond, so it spins while bytes are on their way, and takes a core for that.
 */
import { createServer, connect, type Socket } from 'node:net'

const [host = '', port = '', delayMicros = ''] = process.argv.slice(2)
const delayMillis = Number(delayMicros) / 1_000
const underway: { due: number; deliver: () => void }[] = []
let spinning = false

function later(deliver: () => void): void {
  underway.push({ due: performance.now() + delayMillis, deliver })
  if (spinning) return
  spinning = true
  setImmediate(spin)
}

function spin(): void {
  for (let next = underway[0]; next !== undefined && next.due <= performance.now(); next = underway[0]) {
    underway.shift()
    next.deliver()
  }
  spinning = underway.length > 0
  if (spinning) setImmediate(spin)
}

function forward(from: Socket, to: Socket): void {
  from.setNoDelay(true)
  from.on('data', (bytes) => later(() => to.write(bytes)))
  from.on('end', () => later(() => to.end()))
  from.on('error', () => to.destroy())
}

const server = createServer({ allowHalfOpen: true }, (client) => {
  const upstream = connect({ host, port: Number(port), allowHalfOpen: true })
  forward(client, upstream)
  forward(upstream, client)
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') console.log(address.port)
})
process.stdin.on('end', () => process.exit()).resume()
