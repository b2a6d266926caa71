/** What goes wrong in the drill. Each fault returns what has to be done before the cluster can be healthy again. */
import { setTimeout as sleep } from 'node:timers/promises'
import { isAlive } from '../helpers/local-process.js'
import { waitUntil } from '../helpers/wait-until.js'
import type { Cluster, Node } from './cluster.js'

export type Fault = (cluster: Cluster, primary: Node) => Promise<() => Promise<void> | void>

const STALLED_MILLIS = 2_000

const nothing = (): void => undefined

/** In the order of the table. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  switchover: async (cluster, primary) => {
    await cluster.switchover(primary)
    return nothing
  },

  'postmaster killed': (cluster, primary) => {
    process.kill(cluster.postmasterOf(primary), 'SIGKILL')
    return Promise.resolve(nothing)
  },

  'node killed': async (cluster, primary) => {
    await cluster.killNode(primary)
    return () => cluster.startNode(primary)
  },

  /** Replication is silent for a while, and then the primary dies: what was not replicated is lost. */
  'standbys stalled': async (cluster, primary) => {
    for (const { relay } of cluster.nodes) relay.stall()
    await sleep(STALLED_MILLIS)
    const postmaster = cluster.postmasterOf(primary)
    process.kill(postmaster, 'SIGKILL')
    await waitUntil(() => !isAlive(postmaster))
    for (const { relay } of cluster.nodes) relay.heal()
    return nothing
  },

  /** Patroni of the primary is frozen: its PostgreSQL goes on while another one is promoted. */
  'primary partitioned': (cluster, primary) => {
    primary.patroni?.kill('SIGSTOP')
    primary.relay.stall()
    return Promise.resolve(async () => {
      primary.relay.heal()
      primary.patroni?.kill('SIGCONT')
      await sleep(STALLED_MILLIS)
      await cluster.rebuildNode(primary)
    })
  },
}
