/** A primary and a standby that a test promotes, so that both are primaries, and proxies on the ways to them. */
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { type LocalServer, REPLICATION_HBA, startServer } from './local-server.js'
import { type Proxy, startProxy } from './proxy.js'

export interface TwoPrimaries {
  readonly old: LocalServer
  readonly next: LocalServer
  readonly toOld: Proxy
  readonly toNext: Proxy
  /** From now on both are primaries. */
  promote(): Promise<void>
}

/**
 * New ones for each test of a file.
 * @param tables SQL that is run before the standby is made.
 */
export function useTwoPrimaries(tables?: string): TwoPrimaries {
  const servers = {
    promote: async () => {
      await servers.next.query('select pg_promote()')
    },
  } as { -readonly [Name in keyof TwoPrimaries]: TwoPrimaries[Name] }
  let origin: LocalServer | undefined
  beforeAll(async () => {
    origin = await startServer({ hba: REPLICATION_HBA })
    if (tables !== undefined) await origin.query(tables)
    await origin.stop()
  })
  afterAll(() => origin?.dispose())
  beforeEach(async () => {
    if (origin === undefined) throw new Error('no server to copy')
    servers.old = await origin.copy({ max_wal_senders: 4, wal_level: 'replica' })
    servers.next = await origin.standbyOf(servers.old)
    await servers.old.start()
    await servers.next.start()
    servers.toOld = await startProxy(servers.old.url)
    servers.toNext = await startProxy(servers.next.url)
  })
  afterEach(async () => {
    for (const proxy of [servers.toOld, servers.toNext]) proxy.close()
    await Promise.all([servers.old.dispose(), servers.next.dispose()])
  })
  return servers
}
