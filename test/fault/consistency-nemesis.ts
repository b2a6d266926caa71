/** What happens to the operations of a consistency run: one fault after the other, chosen by the seed. */
import pg from 'pg'
import type { DisposeOptions, Engine } from '../../src/index.js'
import type { LocalServer } from '../helpers/local-server.js'
import type { CutStyle, ProxiedConnection } from '../helpers/proxied-connection.js'
import type { CutRule, Place, Proxy } from '../helpers/proxy.js'
import type { WireMessage } from '../helpers/wire.js'
import type { History, Operation } from './consistency-history.js'
import type { Random } from './support-random.js'

/** What the nemesis gets at. */
export interface Victims {
  readonly server: LocalServer
  readonly proxy: Proxy
  readonly history: History
  readonly application: string
  /** Operations that have begun and not ended. */
  readonly running: ReadonlySet<Operation>
  engine(): Engine
  /** Disposes the engine and puts a new one in its place. */
  replaceEngine(options: DisposeOptions): Promise<void>
}

/** Something that lasts until it is called off. */
type Heal = () => Promise<unknown> | void
type Fault = (nemesis: Nemesis) => Promise<Heal | void> | Heal | void

/** How often the waits for a lost standby are ended, and for how long at most. */
const STANDBY_ROUNDS = 4
const STANDBY_MILLIS = 2000

const STYLES: readonly CutStyle[] = ['reset', 'end', 'fatal']

/** A message of COMMIT, or the one that answers a statement which commits by itself. */
const PLACES: readonly (readonly [string, Place])[] = [
  ['before COMMIT', { from: 'client', when: 'before', message: isCommit }],
  ['behind COMMIT', { from: 'client', when: 'after', message: isCommit }],
  ['before the answer to COMMIT', answer(/^COMMIT/)],
  ['before the answer to INSERT', answer(/^INSERT/)],
  ['before the answer to UPDATE', answer(/^UPDATE/)],
  ['before the answer to COPY', answer(/^COPY/)],
  ['behind the answer to COMMIT', { ...answer(/^COMMIT/), when: 'after' }],
  ['before the data of COPY', { from: 'client', when: 'before', message: ({ name }) => name === 'CopyDone' }],
  ['before Sync', { from: 'client', when: 'before', message: ({ name }) => name === 'Sync' }],
]

function isCommit({ name, text }: WireMessage): boolean {
  return (name === 'Parse' || name === 'Query') && text.startsWith('COMMIT')
}

function answer(tag: RegExp): Place {
  return {
    from: 'server',
    when: 'before',
    message: ({ name, text }) => name === 'CommandComplete' && tag.test(text),
  }
}

const FAULTS: readonly (readonly [weight: number, name: string, fault: Fault])[] = [
  [4, 'terminate one backend', (nemesis) => nemesis.signalBackends('pg_terminate_backend', 1)],
  [1, 'terminate all backends', (nemesis) => nemesis.signalBackends('pg_terminate_backend', 1000)],
  [2, 'cancel one backend', (nemesis) => nemesis.signalBackends('pg_cancel_backend', 1)],
  [2, 'cancel all backends', (nemesis) => nemesis.signalBackends('pg_cancel_backend', 1000)],
  [12, 'cut', (nemesis) => nemesis.cutSomewhere()],
  [12, 'hold', (nemesis) => nemesis.holdSomewhere()],
  [1, 'cut all connections', ({ victims, random }) => void victims.proxy.cut(style(random))],
  [2, 'swallow everything', ({ victims }) => swallow(victims, 'both')],
  [1, "swallow the client's messages", ({ victims }) => swallow(victims, 'client')],
  [1, "swallow the server's answers", ({ victims }) => swallow(victims, 'server')],
  [1, 'restart', (nemesis) => nemesis.restart()],
  [1, 'fill max_connections', (nemesis) => nemesis.fillConnections()],
  [4, 'abort', (nemesis) => nemesis.abort(0.5)],
  [2, 'delay', ({ victims }) => delay(victims)],
  [2, 'refuse new connections', ({ victims, random }) => refuse(victims, random)],
  [2, 'dispose', (nemesis) => nemesis.replaceEngine()],
  [
    1,
    'recreate',
    ({ victims }) =>
      victims
        .engine()
        .recreate({ timeoutMillis: 30 })
        .then(() => undefined),
  ],
  [3, 'lose the standby', (nemesis) => nemesis.loseStandby()],
  [1, 'become read-only', (nemesis) => nemesis.set('default_transaction_read_only', 'on')],
  [1, 'refresh', ({ victims }) => victims.engine().refresh()],
]

/** What happens to a connection that is held, or around it. */
const MEANWHILE: readonly (readonly [
  weight: number,
  what: string,
  act: (nemesis: Nemesis, held: ProxiedConnection, healed: Promise<void>) => unknown,
])[] = [
  [4, 'abort all', (nemesis) => nemesis.abort(1)],
  [2, 'terminate all', (nemesis) => nemesis.signalBackends('pg_terminate_backend', 1000)],
  [2, 'cancel all', (nemesis) => nemesis.signalBackends('pg_cancel_backend', 1000)],
  [2, 'dispose', (nemesis) => nemesis.replaceEngine()],
  [3, 'cut it', ({ random }, held) => void held.cut(style(random))],
  [4, 'wait', (_nemesis, _held, healed) => healed],
]

function style(random: Random): CutStyle {
  return random.one(STYLES) ?? 'reset'
}

function swallow({ proxy }: Victims, from: 'client' | 'server' | 'both'): Heal {
  proxy.blackHole(from)
  return () => proxy.pass()
}

function delay({ proxy }: Victims): Heal {
  proxy.delay(3)
  return () => proxy.pass()
}

function refuse({ proxy }: Victims, random: Random): Heal {
  if (random.next() < 0.5) {
    proxy.refuse()
    return () => proxy.accept()
  }
  proxy.cutNew(random.next() < 0.5 ? 'reset' : 'end')
  return () => proxy.pass()
}

export class Nemesis {
  readonly victims: Victims
  readonly random: Random
  #admin: pg.Client | undefined
  #heal: Heal | undefined

  constructor(victims: Victims, random: Random) {
    this.victims = victims
    this.random = random
  }

  /** Begins the next fault. */
  async strike(): Promise<void> {
    const [name, fault] = this.random.weighted(FAULTS.map(([weight, ...rest]) => [weight, rest] as const))
    this.note(name)
    // What the proxy remembers of the past is not needed.
    this.victims.proxy.reset()
    this.#heal = (await fault(this)) ?? undefined
  }

  /** Calls off what lasts. */
  async heal(): Promise<void> {
    this.victims.proxy.disarm()
    await this.#heal?.()
    this.#heal = undefined
  }

  async end(): Promise<void> {
    await this.heal()
    await this.#admin?.end()
  }

  note(what: string): void {
    this.victims.history.fault(what)
  }

  async signalBackends(how: 'pg_terminate_backend' | 'pg_cancel_backend', most: number): Promise<void> {
    const admin = await this.#connectAdmin()
    const { rows } = await admin.query<{ pid: number }>(
      `select pid from pg_stat_activity where application_name = $1 order by pid`,
      [this.victims.application],
    )
    const from = Math.floor(this.random.next() * rows.length)
    const pids = rows.slice(from, from + most).map(({ pid }) => pid)
    await admin.query(`select ${how}(pid) from unnest($1::int[]) pid`, [
      most > 1 ? rows.map(({ pid }) => pid) : pids,
    ])
  }

  /** Ends the connection on which a certain message passes, or one of the next messages, whatever it is. */
  cutSomewhere(): void {
    const [where, place] = this.#place()
    const rule: CutRule = { ...place, style: style(this.random) }
    this.note(`armed: ${rule.style ?? ''} ${where}`)
    void this.victims.proxy.cutAt(rule).then(() => this.note(`done: ${rule.style ?? ''} ${where}`))
  }

  /** Stops the connection on which a certain message passes, and lets something else happen while its answer is missing. */
  holdSomewhere(): Heal {
    const [where, place] = this.#place()
    const [what, act] = this.random.weighted(MEANWHILE.map(([weight, ...rest]) => [weight, rest] as const))
    let heal!: () => void
    const healed = new Promise<void>((resolve) => (heal = resolve))
    let acting: Promise<void> | undefined
    this.note(`armed: hold ${where}, then ${what}`)
    void this.victims.proxy.holdAt(place).then((connection) => {
      this.note(`held ${where}; ${what}`)
      acting = (async () => {
        await act(this, connection, healed)
        connection.resume()
        this.note(`resumed ${where}`)
      })()
    })
    return () => {
      heal()
      return acting
    }
  }

  abort(share: number): void {
    const doomed = [...this.victims.running].filter(() => this.random.next() < share)
    this.note(`abort ${doomed.map(({ number }) => number).join(', ')}`)
    for (const operation of doomed) operation.ending.abort(new Error('the nemesis'))
  }

  async replaceEngine(): Promise<void> {
    const timeoutMillis = this.random.one([0, 30, 2000]) ?? 0
    this.note(`dispose within ${String(timeoutMillis)} ms`)
    await this.victims.replaceEngine({ timeoutMillis })
  }

  async restart(): Promise<void> {
    const { server } = this.victims
    const how = this.random.one(['fast', 'immediate', 'kill'] as const) ?? 'fast'
    this.note(`restart: ${how}`)
    await this.#admin?.end().catch(() => undefined)
    this.#admin = undefined
    await (how === 'kill' ? server.kill() : server.stop(how))
    await server.start()
  }

  /** Takes every connection that the server still has to give. */
  async fillConnections(): Promise<Heal> {
    const taken: pg.Client[] = []
    for (;;) {
      const client = new pg.Client({ connectionString: this.victims.server.url })
      client.on('error', () => undefined)
      const refused = await client.connect().then(
        () => undefined,
        (error: unknown) => error,
      )
      if (refused !== undefined) break
      taken.push(client)
    }
    this.note(`took ${String(taken.length)} connections`)
    // Those that the engine holds are all there are: without one it has to wait.
    await this.victims.proxy.cut('reset')
    return () => Promise.all(taken.map((client) => client.end()))
  }

  /** COMMIT waits for a standby that is not there, and does not wait for ever. */
  async loseStandby(): Promise<Heal> {
    const end = this.random.one([
      () => this.signalBackends('pg_cancel_backend', 1000),
      () => this.signalBackends('pg_terminate_backend', 1000),
      () => this.abort(1),
    ] as const)
    const restore = await this.set('synchronous_standby_names', 'gone')
    const admin = await this.#connectAdmin()
    const waiting = async (): Promise<boolean> =>
      (await admin.query("select 1 from pg_stat_activity where wait_event = 'SyncRep'")).rows.length > 0
    let healed = false
    let rounds = 0
    const until = performance.now() + STANDBY_MILLIS
    const over = (): boolean => performance.now() > until || (healed && rounds >= STANDBY_ROUNDS)
    const ending = (async () => {
      while (!(await waiting())) if (over()) return
      // From the first wait on every COMMIT has to wait.
      const { history } = this.victims
      history.unconfirmed.push({ from: history.tick(), to: Infinity })
      while (!over()) {
        if (!(await waiting())) continue
        await end?.()
        rounds++
      }
    })()
    return async () => {
      healed = true
      await ending
      this.victims.history.confirm()
      await restore()
    }
  }

  /** Changes a setting of the server. */
  async set(name: string, value: string): Promise<Heal> {
    const admin = await this.#connectAdmin()
    this.note(`${name} = ${value}`)
    await admin.query(`alter system set ${name} = '${value}'`)
    await admin.query('select pg_reload_conf()')
    return async () => {
      await admin.query(`alter system reset ${name}`)
      await admin.query('select pg_reload_conf()')
    }
  }

  #place(): readonly [string, Place] {
    if (this.random.next() < 0.75) return this.random.one(PLACES) ?? PLACES[0]!
    const from = this.random.next() < 0.5 ? 'client' : 'server'
    const message = 1 + Math.floor(this.random.next() * 150)
    const when = this.random.next() < 0.5 ? 'before' : 'after'
    return [`${when} message ${String(message)} of the ${from}`, { from, when, message }]
  }

  async #connectAdmin(): Promise<pg.Client> {
    if (this.#admin !== undefined) return this.#admin
    this.#admin = new pg.Client({
      connectionString: this.victims.server.url,
      application_name: 'nemesis',
      options: '-c synchronous_commit=local',
    })
    this.#admin.on('error', () => undefined)
    await this.#admin.connect()
    return this.#admin
  }
}
