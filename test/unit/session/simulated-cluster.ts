/**
 * A cluster without servers: histories of writes by timeline, standbys that replay late, promotions while the old primary goes on, and
 * connections that answer what Lifeguard asks. Its time is the test's.
 */
import {
  type Batch,
  type BatchStatement,
  type Driver,
  type DriverConnection,
  type StatementResult,
  StatementSkipped,
  type TransactionStatus,
} from '../../../src/driver/driver.js'
import { ConnectError, ConnectionLostError } from '../../../src/errors.js'
import {
  endOfWrites,
  formatWalPosition,
  parseWalPosition,
  POSITION_QUERY,
} from '../../../src/internal/wal-position.js'
import type { OwnClock } from './own-clock.js'
import { type Entry, PAGE, SimulatedServer } from './simulated-server.js'

const SYSTEM = '7000000000000000001'

export class SimulatedCluster {
  readonly clock: OwnClock
  readonly servers: readonly SimulatedServer[]
  latencyMillis = 1
  #entries = 0

  constructor(clock: OwnClock, standbys: number) {
    this.clock = clock
    this.servers = Array.from({ length: standbys + 1 }, (_, at) => new SimulatedServer(`s${String(at)}`))
    this.server(0).isPrimary = true
  }

  server(at: number): SimulatedServer {
    return this.servers[at % this.servers.length] as SimulatedServer
  }

  /** The primary of the latest timeline. */
  get latest(): SimulatedServer {
    return this.servers
      .filter(({ isPrimary }) => isPrimary)
      .reduce((one, other) => (other.timeline > one.timeline ? other : one))
  }

  write(server: SimulatedServer, size: number): Entry {
    // Every other record ends a page, as after pg_switch_wal().
    const end = size % 2 === 0 ? (server.lsn / PAGE + 1n) * PAGE : server.insertLsn + BigInt(40 + size)
    const entry = { id: ++this.#entries, end }
    server.lsn = end
    server.log.push(entry)
    return entry
  }

  /** Records that no session has written. */
  grow(server: SimulatedServer, bytes: number): void {
    if (server.isPrimary) server.lsn = server.insertLsn + BigInt(bytes)
  }

  /** A standby replays the next records of the latest primary that its own are the beginning of. */
  replay(standby: SimulatedServer, records: number): void {
    const { latest } = this
    if (standby.isPrimary || standby.state === 'down' || latest.state === 'down') return
    const isBeginning = standby.log.every((entry, at) => latest.log[at] === entry)
    if (!isBeginning || standby.lsn > latest.lsn) return
    standby.log.push(...latest.log.slice(standby.log.length, standby.log.length + records))
    const last = standby.log.at(-1)
    if (standby.log.length === latest.log.length) standby.lsn = latest.lsn
    else if (last !== undefined && last.end > standby.lsn) standby.lsn = last.end
    standby.timeline = latest.timeline
  }

  /** @param old What becomes of the primary: it goes on, dies, or follows the new one with what they have in common. */
  promote(standby: SimulatedServer, old: 'goes on' | 'dies' | 'follows'): void {
    if (standby.isPrimary || standby.state !== 'up') return
    const before = this.latest
    standby.isPrimary = true
    standby.timeline = before.timeline + 1
    standby.lsn = standby.insertLsn + 100n
    if (old === 'goes on') return
    before.isPrimary = false
    before.state = 'down'
    before.lose()
    if (old === 'dies') return
    const common = before.log.findIndex((entry, at) => standby.log[at] !== entry)
    if (common !== -1) before.log.length = common
    before.lsn = before.log.at(-1)?.end ?? 0n
    before.state = 'up'
  }

  /** @param serverOf Where a new connection goes. */
  driver(serverOf: (attempt: number) => SimulatedServer | undefined): Driver {
    let attempts = 0
    let before: SimulatedServer | undefined
    return {
      target: 'simulated',
      connect: async ({ timeoutMillis, signal }) => {
        await this.clock.after(this.latencyMillis)
        const server = serverOf(attempts++)
        if (server?.state === 'silent') {
          const aborted = new Promise((resolve) => signal?.addEventListener('abort', resolve))
          await Promise.race([this.clock.after(timeoutMillis), aborted])
        }
        if (server?.state !== 'up') throw new ConnectError('no server', { fatal: false })
        const connection = new SimulatedConnection(this, server, attempts)
        connection.supersedes = server.isPrimary && before !== undefined && before !== server
        if (server.isPrimary) before = server
        return connection
      },
    }
  }
}

export class SimulatedConnection implements DriverConnection {
  readonly id: number
  readonly processId: number
  readonly connectedAt: number
  readonly node: SimulatedServer
  supersedes = false
  transactionStatus: TransactionStatus = 'idle'
  busy = false
  lost: Error | undefined = undefined
  onLost: ((error: Error) => void) | undefined = undefined
  onNotification: undefined = undefined
  readonly #cluster: SimulatedCluster
  #isRepeatable = false
  #snapshot: readonly Entry[] | undefined
  #writes: number[] = []
  #onLoss: (() => void) | undefined

  constructor(cluster: SimulatedCluster, server: SimulatedServer, id: number) {
    this.#cluster = cluster
    this.node = server
    this.id = id
    this.processId = 4000 + id
    this.connectedAt = cluster.clock.now()
    server.connections.add(this)
  }

  submit(batch: Batch): void {
    const { clock, latencyMillis } = this.#cluster
    this.busy = true
    const settled = new Set<BatchStatement>()
    const end = (): void => {
      this.#onLoss = undefined
      this.busy = false
      batch.onEnd()
    }
    this.#onLoss = () => {
      for (const statement of batch.statements)
        if (!settled.has(statement)) statement.onError(this.lost ?? new ConnectionLostError('lost'))
      end()
    }
    const answer = (): void => {
      if (this.lost !== undefined) return
      const answers = this.#run(batch)
      void clock.after(latencyMillis).then(() => {
        if (this.lost !== undefined) return
        batch.statements.forEach((statement, at) => {
          const answer = answers[at]
          settled.add(statement)
          if (answer instanceof Error) statement.onError(answer)
          else statement.onResult(answer as StatementResult)
        })
        end()
      })
    }
    void clock.after(latencyMillis).then(() => {
      this.node.whenUp(answer)
    })
  }

  lose(): void {
    if (this.lost !== undefined) return
    this.destroy(new ConnectionLostError('the server is gone'))
    if (this.lost !== undefined) this.onLost?.(this.lost)
  }

  destroy(reason: Error = new ConnectionLostError('destroyed')): void {
    if (this.lost !== undefined) return
    this.lost = reason
    this.transactionStatus = 'unknown'
    this.node.connections.delete(this)
    this.#onLoss?.()
  }

  async ping(timeoutMillis: number): Promise<void> {
    const { clock, latencyMillis } = this.#cluster
    await clock.after(this.node.state === 'up' ? 2 * latencyMillis : timeoutMillis)
    if (this.node.state !== 'up') this.destroy()
    if (this.lost !== undefined) throw this.lost
  }

  async reset(): Promise<void> {
    await this.#cluster.clock.after(this.#cluster.latencyMillis)
    this.#end()
  }

  close(): Promise<void> {
    this.destroy()
    return Promise.resolve()
  }

  cancel(): Promise<void> {
    return Promise.resolve()
  }

  script(): never {
    throw new Error('no scripts here')
  }

  ref(): void {
    // No socket.
  }

  unref(): void {
    // No socket.
  }

  parameter(): undefined {
    return undefined
  }

  #end(): void {
    this.transactionStatus = 'idle'
    this.#snapshot = undefined
    this.#writes = []
  }

  #run({ statements, sync }: Batch): (StatementResult | Error)[] {
    let failed = false
    return statements.map(({ text, values = [] }) => {
      if (failed && sync === 'shared') return new StatementSkipped('skipped')
      try {
        return this.#answer(text, values.map(String))
      } catch (error) {
        failed = true
        this.transactionStatus = 'failed'
        return error as Error
      }
    })
  }

  /** The log that a statement sees now. */
  #seen(): readonly Entry[] {
    if (!this.#isRepeatable) return this.node.log
    return (this.#snapshot ??= [...this.node.log])
  }

  #answer(text: string, values: readonly string[]): StatementResult {
    const { node: server } = this
    if (/^begin/i.test(text)) {
      this.#isRepeatable = /repeatable/i.test(text)
      this.transactionStatus = 'transaction'
      return result('BEGIN')
    }
    if (text === 'COMMIT AND CHAIN') {
      this.#snapshot = undefined
      return result('COMMIT')
    }
    if (/^commit/i.test(text)) {
      if (this.transactionStatus === 'failed') return result('ROLLBACK')
      for (const size of this.#writes) ENTRY_OF.get(size)?.(this.#cluster.write(server, size))
      this.#end()
      return result('COMMIT')
    }
    if (/^rollback/i.test(text)) {
      this.#end()
      return result('ROLLBACK')
    }
    this.#seen()
    if (text === POSITION_QUERY.text) {
      if (!server.isPrimary) throw serverError('55000', 'recovery is in progress')
      const timeline = server.timeline.toString(16).padStart(8, '0')
      return result('SELECT', [{ lsn: formatWalPosition(server.insertLsn), timeline, system: SYSTEM }])
    }
    if (text.startsWith('select at.*')) {
      const [system, timeline] = values
      const answer = this.#answer(POSITION_QUERY.text, [])
      if (system === SYSTEM && server.timeline < Number(timeline))
        throw serverError('22012', 'division by zero')
      return answer
    }
    if (text.startsWith('select at.lsn')) return this.#check(values)
    if (text.startsWith('update')) {
      if (!server.isPrimary) throw serverError('25006', 'read-only transaction')
      this.#writes.push(Number(values[0]))
      return result('UPDATE', [])
    }
    if (text.startsWith('select seen'))
      return result('SELECT', [
        { seen: JSON.stringify(this.#seen().map(({ id }) => id)), server: server.name },
      ])
    return result('SHOW', [{ transaction_isolation: 'read committed' }])
  }

  #check([lsn = '', timeline, system]: readonly string[]): StatementResult {
    const { node: server } = this
    const at = server.isPrimary ? server.insertLsn : server.lsn
    const isThere =
      at >= (parseWalPosition(lsn) ?? 0n) && Number(timeline) === server.timeline && system === SYSTEM
    if (!isThere) throw serverError('22012', 'division by zero')
    return result('SELECT', [{ lsn: formatWalPosition(server.isPrimary ? endOfWrites(at) : at), there: 1 }])
  }
}

/** Told the entry of a write, by the number that stands in its UPDATE. */
export const ENTRY_OF = new Map<number, (entry: Entry) => void>()

function result(command: string, rows: readonly Record<string, unknown>[] = []): StatementResult {
  const fields = Object.keys(rows[0] ?? {}).map((name) => ({ name, dataTypeID: 25, tableID: 0, columnID: 0 }))
  return { command, rowCount: rows.length, fields, rows, suspended: false }
}

function serverError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code, severity: 'ERROR', routine: 'simulated' })
}
