/**
 * Three nodes of PostgreSQL under Patroni, etcd, and HAProxy in front, from Debian's packages:
 * `apt-get install etcd-server patroni haproxy postgresql`. All on loopback ports, in a folder of their own.
 */
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { Sandbox, freePort, untilExit } from '../helpers/local-process.js'
import { findServerBinaries } from '../helpers/server-binaries.js'
import { waitUntil } from '../helpers/wait-until.js'
import { Relay } from './relay.js'

const PASSWORD = 'drill'
const START_MILLIS = 60_000
/** A standby that has not come back after this long is made anew. */
const REBUILD_MILLIS = 30_000

export interface ClusterOptions {
  /** Patroni's `synchronous_mode`. */
  readonly synchronous: boolean
}

export class Node {
  readonly name: string
  readonly port: number
  readonly restPort: number
  readonly relay: Relay
  readonly relayPort: number
  patroni: ChildProcess | undefined = undefined

  constructor(name: string, ports: { port: number; restPort: number; relayPort: number }) {
    this.name = name
    this.port = ports.port
    this.restPort = ports.restPort
    this.relayPort = ports.relayPort
    this.relay = new Relay(ports.relayPort)
  }

  get url(): string {
    return `postgres://postgres:${PASSWORD}@127.0.0.1:${String(this.port)}/postgres`
  }
}

export class Cluster implements AsyncDisposable {
  readonly nodes: readonly Node[]
  readonly haproxyPort: number
  readonly #sandbox: Sandbox
  readonly #etcdPort: number
  readonly #options: ClusterOptions

  private constructor(
    sandbox: Sandbox,
    nodes: readonly Node[],
    ports: { etcd: number; haproxy: number },
    options: ClusterOptions,
  ) {
    this.#sandbox = sandbox
    this.nodes = nodes
    this.#etcdPort = ports.etcd
    this.haproxyPort = ports.haproxy
    this.#options = options
  }

  static async start(options: ClusterOptions): Promise<Cluster> {
    const nodes: Node[] = []
    for (const name of ['n1', 'n2', 'n3']) {
      nodes.push(
        new Node(name, { port: await freePort(), restPort: await freePort(), relayPort: await freePort() }),
      )
    }
    const ports = { etcd: await freePort(), haproxy: await freePort() }
    const cluster = new Cluster(new Sandbox(), nodes, ports, options)
    await cluster.#startEtcd()
    for (const node of nodes) {
      await node.relay.listen(node.port)
      cluster.startNode(node)
    }
    cluster.#startHaproxy()
    await cluster.healthy()
    return cluster
  }

  /** Where clients go: through HAProxy, or by a list of hosts. */
  url(front: 'haproxy' | 'hosts'): string {
    const where =
      front === 'haproxy'
        ? `127.0.0.1:${String(this.haproxyPort)}`
        : this.nodes.map(({ port }) => `127.0.0.1:${String(port)}`).join(',')
    const role = front === 'hosts' ? '?target_session_attrs=primary' : ''
    return `postgres://postgres:${PASSWORD}@${where}/postgres${role}`
  }

  startNode(node: Node): void {
    const config = this.#sandbox.write(`${node.name}.json`, JSON.stringify(this.#patroniConfig(node)))
    node.patroni = this.#sandbox.spawn('patroni', [config], `${node.name}.log`)
  }

  /** Kills Patroni and PostgreSQL, as a loss of power does. */
  async killNode(node: Node): Promise<void> {
    node.patroni?.kill('SIGKILL')
    try {
      process.kill(this.postmasterOf(node), 'SIGKILL')
    } catch {
      // It has ended.
    }
    if (node.patroni !== undefined) await untilExit(node.patroni)
    node.patroni = undefined
  }

  /** Makes a standby of it from nothing, as an operator does with a node that was cut off. */
  async rebuildNode(node: Node): Promise<void> {
    await this.killNode(node)
    rmSync(this.#sandbox.path(node.name), { recursive: true, force: true })
    this.startNode(node)
  }

  postmasterOf({ name }: Node): number {
    return Number(readFileSync(this.#sandbox.path(`${name}/postmaster.pid`), 'utf8').split('\n')[0])
  }

  /** The node that takes writes and has the latest timeline; undefined if there is none. */
  async primary(): Promise<Node | undefined> {
    const found = await Promise.all(
      this.nodes.map(async (node) => ({ node, timeline: await timelineOf(node) })),
    )
    const primaries = found.filter(({ timeline }) => timeline > 0)
    return primaries.sort((one, other) => other.timeline - one.timeline)[0]?.node
  }

  /** Waits until there is a primary with two standbys that stream from it (in synchronous mode: one of them synchronously). */
  async healthy(): Promise<Node> {
    let why = ''
    let rebuildAt = performance.now() + REBUILD_MILLIS
    return await waitUntil(
      async () => {
        const primary = await this.primary()
        if (primary === undefined) return void (why = 'no primary')
        const states = await ask<{ name: string; state: string; sync_state: string }>(
          primary,
          'select application_name as name, state, sync_state from pg_stat_replication',
        ).catch(() => [])
        why = JSON.stringify(states)
        const streaming = states.filter(({ state }) => state === 'streaming').map(({ name }) => name)
        if (performance.now() > rebuildAt) {
          rebuildAt = performance.now() + REBUILD_MILLIS
          for (const node of this.nodes)
            if (node !== primary && !streaming.includes(node.name)) await this.rebuildNode(node)
        }
        const isSynchronous = states.some(({ sync_state }) => sync_state === 'sync')
        if (streaming.length < this.nodes.length - 1 || isSynchronous !== this.#options.synchronous)
          return undefined
        return primary
      },
      { deadlineMillis: START_MILLIS * 2, message: () => `a healthy cluster: ${why}\n${this.#tails()}` },
    )
  }

  async switchover(leader: Node): Promise<void> {
    const response = await fetch(`http://127.0.0.1:${String(leader.restPort)}/switchover`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ leader: leader.name }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`Patroni refused the switchover: ${text}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { patroni, relay } of this.nodes) {
      relay.close()
      patroni?.kill('SIGCONT')
      patroni?.kill('SIGTERM')
    }
    await sleep(2_000)
    for (const node of this.nodes) {
      try {
        process.kill(this.postmasterOf(node), 'SIGQUIT')
      } catch {
        // It has ended.
      }
    }
    await this.#sandbox.dispose()
  }

  async #startEtcd(): Promise<void> {
    const client = `http://127.0.0.1:${String(this.#etcdPort)}`
    const peer = `http://127.0.0.1:${String(await freePort())}`
    const options = {
      'data-dir': this.#sandbox.path('etcd'),
      'listen-client-urls': client,
      'advertise-client-urls': client,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': `default=${peer}`,
    }
    const given = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
    this.#sandbox.spawn('etcd', given, 'etcd.log')
    await waitUntil(async () => (await fetch(`${client}/health`).catch(() => undefined))?.ok === true, {
      deadlineMillis: START_MILLIS,
      message: () => `etcd:\n${this.#sandbox.read('etcd.log')}`,
    })
  }

  #startHaproxy(): void {
    const servers = this.nodes.map(
      ({ name, port, restPort }) =>
        `  server ${name} 127.0.0.1:${String(port)} check port ${String(restPort)}`,
    )
    const config = this.#sandbox.write(
      'haproxy.cfg',
      `defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
  timeout check 1s
  # A connect to a server that is down fails at once. By default it is tried again three times, a second later each.
  retries 0
listen primary
  bind 127.0.0.1:${String(this.haproxyPort)}
  option httpchk OPTIONS /primary
  http-check expect status 200
  default-server inter 200ms fall 2 rise 1 on-marked-down shutdown-sessions
${servers.join('\n')}
`,
    )
    this.#sandbox.spawn('haproxy', ['-db', '-f', config], 'haproxy.log')
  }

  #patroniConfig({ name, port, restPort, relayPort }: Node): object {
    mkdirSync(this.#sandbox.path(`${name}.sockets`), { recursive: true })
    this.#sandbox.give(this.#sandbox.path(`${name}.sockets`), 0o700)
    const user = (username: string): object => ({ username, password: PASSWORD })
    return {
      scope: 'drill',
      name,
      restapi: {
        listen: `127.0.0.1:${String(restPort)}`,
        connect_address: `127.0.0.1:${String(restPort)}`,
      },
      etcd3: { host: `127.0.0.1:${String(this.#etcdPort)}` },
      bootstrap: {
        dcs: {
          ttl: 20,
          loop_wait: 1,
          retry_timeout: 3,
          // So that a primary whose postmaster was killed gives up its role at once.
          master_start_timeout: 0,
          primary_start_timeout: 0,
          maximum_lag_on_failover: 100_000_000,
          synchronous_mode: this.#options.synchronous,
          postgresql: {
            use_pg_rewind: true,
            parameters: {
              wal_keep_size: '256MB',
              max_connections: 200,
              max_wal_senders: 10,
              wal_log_hints: true,
            },
          },
        },
        initdb: [{ encoding: 'UTF8' }, 'data-checksums', { locale: 'C' }],
      },
      postgresql: {
        listen: `127.0.0.1:${String(port)}`,
        // Standbys follow through the relay.
        connect_address: `127.0.0.1:${String(relayPort)}`,
        data_dir: this.#sandbox.path(name),
        bin_dir: findServerBinaries({ LIFEGUARD_PG: 'system' }).bin,
        authentication: {
          superuser: user('postgres'),
          replication: user('replicator'),
          rewind: user('rewinder'),
        },
        parameters: { unix_socket_directories: this.#sandbox.path(`${name}.sockets`) },
        pg_hba: [
          'local all all trust',
          'host all all 127.0.0.1/32 md5',
          'host replication all 127.0.0.1/32 md5',
        ],
      },
    }
  }

  #tails(): string {
    return this.nodes.map(({ name }) => this.#sandbox.read(`${name}.log`).slice(-1500)).join('\n---\n')
  }
}

/** One query on one node, on a connection of its own. */
export async function ask<Row extends pg.QueryResultRow>(
  node: Node,
  text: string,
  timeoutMillis = 5_000,
): Promise<Row[]> {
  const client = new pg.Client({
    connectionString: node.url,
    connectionTimeoutMillis: 1_000,
    query_timeout: timeoutMillis,
  })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    void client.end().catch(() => undefined)
  }
}

/** 0 for a standby, and for a node that does not answer. */
async function timelineOf(node: Node): Promise<number> {
  const text = `select case when pg_is_in_recovery() then 0
    else ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int end as timeline`
  const rows = await ask<{ timeline: number }>(node, text).catch(() => [])
  return rows[0]?.timeline ?? 0
}
