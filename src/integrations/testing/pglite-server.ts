/**
 * PGlite behind a port of this machine, for engines that are made from a url, in this process and in others.
 *
 * Every connection is a stream on PGlite's one session: it has the session for the time of a transaction, and prepared statements of
 * its own. Settings, temporary tables and LISTEN belong to all of them.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { pipeline } from 'node:stream'
import { PgliteBackend, type PgliteLike } from '../pglite/backend.js'
import { PgliteStream } from '../pglite/stream.js'
import type { Running } from './local-server.js'

/** A connection that waits longer than this for the transaction of another one is told so. */
const LONGEST_WAIT_MILLIS = 30_000

export interface ClosablePglite extends PgliteLike {
  close(): Promise<void>
}

export async function startPgliteServer(database: ClosablePglite): Promise<Running> {
  await database.waitReady
  const backend = new PgliteBackend(database, LONGEST_WAIT_MILLIS)
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    const stream = new PgliteStream(backend, `c${String(++connections)}_`)
    // A client that has gone, and PGlite that has crashed, end the other side, too.
    pipeline(socket, stream, socket, () => sockets.delete(socket))
  })
  await new Promise<void>((listening, failed) => {
    server.once('error', failed)
    server.listen(0, '127.0.0.1', listening)
  })
  // The process of the tests may end while the server runs.
  server.unref()
  const { port } = server.address() as AddressInfo
  return {
    url: `postgresql://postgres@127.0.0.1:${String(port)}/postgres`,
    stop: async () => {
      const closed = new Promise<void>((done) => server.close(() => done()))
      for (const socket of sockets) socket.destroy()
      await closed
      await database.close()
    },
  }
}
