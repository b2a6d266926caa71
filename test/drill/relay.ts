/** A TCP relay in front of one node: standbys follow through it, so that replication can stall while clients still reach the node. */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

export class Relay {
  readonly #sockets = new Set<Socket>()
  readonly #port: number
  #server: Server | undefined
  #isStalled = false

  constructor(port: number) {
    this.#port = port
  }

  async listen(targetPort: number): Promise<void> {
    this.#server = createServer((client) => {
      const target = connect(targetPort, '127.0.0.1')
      for (const [socket, other] of [
        [client, target],
        [target, client],
      ] as const) {
        this.#sockets.add(socket)
        if (this.#isStalled) socket.pause()
        socket.on('data', (chunk) => other.write(chunk))
        if (this.#isStalled) socket.pause()
        socket.on('error', () => socket.destroy())
        socket.on('close', () => {
          this.#sockets.delete(socket)
          other.destroy()
        })
      }
    })
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** Nothing gets through any more, in either direction. */
  stall(): void {
    this.#isStalled = true
    for (const socket of this.#sockets) socket.pause()
  }

  /** What was held back is lost, and new connections get through. */
  heal(): void {
    this.#isStalled = false
    for (const socket of this.#sockets) socket.destroy()
  }

  close(): void {
    this.heal()
    this.#server?.close()
  }
}
