/**
 * Names and values of the semantic conventions for databases (1.44), and a few attributes of Lifeguard with the prefix `lifeguard.`.
 */
import type { Attributes } from '@opentelemetry/api'
import type { StatementMessage } from '../../internal/channels.js'
import type { Engine } from '../../index.js'
import { errorTypeOf } from '../telemetry/error-type.js'
import type { Ended } from '../telemetry/follow.js'

const DEFAULT_PORT = 5432
/** Kinds of statements of which the command is known before an answer. */
const COMMANDS: Partial<Record<StatementMessage['kind'], string>> = { copy: 'COPY', listen: 'LISTEN' }

interface Server {
  readonly host: string
  readonly port: number
}

/** What is said of a statement that has ended: for its span and for its metrics. */
export interface StatementAttributes {
  readonly attributes: Attributes
  readonly spanName: string
}

/** A service has fewer kinds of statements. */
const MOST_KNOWN = 1_000

/** What is said of every statement of an engine, and of its server. */
export class EngineAttributes {
  readonly pool: Attributes
  readonly #common: Attributes
  readonly #only: Server | undefined
  /** Servers of the connections that are open, where there are several. */
  readonly #servers = new Map<number, Server>()
  /** Of statements that have succeeded: most of them are alike. */
  readonly #known = new Map<string, StatementAttributes>()
  /** Of work that is no statement. */
  readonly plain: Attributes
  readonly #stop: readonly (() => void)[]

  constructor(engine: Engine, pool: string) {
    const { place } = engine.internals()
    this.pool = { 'db.client.connection.pool.name': pool }
    this.#common = {
      'db.system.name': 'postgresql',
      ...(place && { 'db.namespace': place.database }),
      ...this.pool,
    }
    this.#only = place?.servers.length === 1 ? place.servers[0] : undefined
    this.plain = Object.freeze({ ...this.#common, ...attributesOf(this.#only) })
    this.#stop =
      this.#only !== undefined
        ? []
        : [
            engine.on('connect', ({ connection: { id, server } }) => {
              if (server !== undefined) this.#servers.set(id, server)
            }),
            engine.on('close', ({ connection }) => void this.#servers.delete(connection.id)),
          ]
  }

  stop(): void {
    for (const stop of this.#stop) stop()
  }

  of(message: StatementMessage & Ended): StatementAttributes {
    const { collection, connectionId, error, kind, sqlState } = message
    const operation = message.operation ?? COMMANDS[kind] ?? message.command
    const server = this.#only ?? (connectionId === undefined ? undefined : this.#servers.get(connectionId))
    const usual = `${operation ?? ''}\0${collection ?? ''}\0${server?.host ?? ''}\0${server?.port ?? ''}`
    const hasFailed = error !== undefined || sqlState !== undefined
    const known = hasFailed ? undefined : this.#known.get(usual)
    if (known !== undefined) return known
    const attributes: Attributes = {
      ...this.#common,
      ...attributesOf(server),
      // The command tag of an empty statement is empty.
      ...(operation && { 'db.operation.name': operation }),
      ...(collection !== undefined && { 'db.collection.name': collection }),
      ...(sqlState !== undefined && { 'db.response.status_code': sqlState }),
      ...(error !== undefined && { 'error.type': errorTypeOf(error, sqlState) }),
    }
    const made = { attributes: Object.freeze(attributes), spanName: spanNameOf(attributes) }
    if (hasFailed) return made
    if (this.#known.size >= MOST_KNOWN) this.#known.clear()
    this.#known.set(usual, made)
    return made
  }
}

function attributesOf(server: Server | undefined): Attributes {
  if (server === undefined) return {}
  const { host, port } = server
  return port === DEFAULT_PORT ? { 'server.address': host } : { 'server.address': host, 'server.port': port }
}

/** `INSERT songs`; without a table the name of the database. */
function spanNameOf(attributes: Attributes): string {
  const target = attributes['db.collection.name'] ?? attributes['db.namespace']
  const parts = [attributes['db.operation.name'], target].filter((part) => part !== undefined)
  return parts.length === 0 ? 'postgresql' : parts.join(' ')
}

/** Rows of an answer: those that were returned, or those that were changed. */
export function rowsOf({ command, kind, rowCount }: StatementMessage): Attributes {
  if (rowCount === undefined) return {}
  const isRead = command === 'SELECT' || kind === 'stream'
  return { [isRead ? 'db.response.returned_rows' : 'lifeguard.affected_rows']: rowCount }
}
