/** A primary and a standby that a test promotes, so that both are primaries, and proxies on the ways to them. */
import { afterEach, beforeEach } from 'vitest'
import { query } from './databases.js'
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
      await query(servers.next.url, 'select pg_promote()')
    },
  } as { -readonly [Name in keyof TwoPrimaries]: TwoPrimaries[Name] }
  beforeEach(async () => {
    servers.old = await startServer({
      hba: REPLICATION_HBA,
      settings: { max_wal_senders: 4, wal_level: 'replica' },
    })
    if (tables !== undefined) await query(servers.old.url, tables)
    servers.next = await servers.old.startStandby()
    servers.toOld = await startProxy(servers.old.url)
    servers.toNext = await startProxy(servers.next.url)
  })
  afterEach(async () => {
    for (const proxy of [servers.toOld, servers.toNext]) proxy.close()
    await Promise.all([servers.old.dispose(), servers.next.dispose()])
  })
  return servers
}
