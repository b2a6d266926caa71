/** Checks what `poolFrom`, `asClient` and `asPool` are given. */
import { Engine, InvalidOptionError, type Session } from '../../index.js'
import type { SessionFaceOptions } from './session-client.js'

/** Options of `poolFrom`. */
export interface PoolFromOptions {
  /**
   * The application's copy of pg, if it is not the copy that this package loads: the pool is then also an `instanceof` its `Pool`.
   */
  readonly pg?: { readonly Pool: { readonly prototype: object } } | undefined
}

/** @throws InvalidOptionError */
export function checkPoolFrom(engine: unknown, options: PoolFromOptions): void {
  if (!(engine instanceof Engine)) {
    throw new InvalidOptionError(
      'engine',
      'poolFrom takes an engine: poolFrom(createEngine({ url })). For the options of pg: new Pool({ connectionString })',
    )
  }
  refuseUnknown('poolFrom', options, ['pg'])
  const { pg } = options
  if (pg !== undefined && typeof (Object(pg) as { Pool?: unknown }).Pool !== 'function')
    throw new InvalidOptionError('pg', "pg: the package itself, as import pg from 'pg' has it")
}

/** @throws InvalidOptionError */
export function checkSessionFace(name: string, session: unknown, options: SessionFaceOptions): void {
  // A session may be one of another copy of the package.
  const { runStatement, beginNested, expireAll } = Object(session) as Partial<Session>
  if ([runStatement, beginNested, expireAll].some((method) => typeof method !== 'function')) {
    throw new InvalidOptionError(
      'session',
      `${name} takes a session: withSession((session) => ... ${name}(session)). For an engine: poolFrom(engine)`,
    )
  }
  refuseUnknown(name, options, ['expireAfterWrites'])
}

function refuseUnknown(name: string, options: unknown, names: readonly string[]): void {
  if (typeof options !== 'object' || options === null)
    throw new InvalidOptionError('options', `${name} takes an object with options: { ${names.join(', ')} }`)
  for (const key of Object.keys(options)) {
    if (!names.includes(key))
      throw new InvalidOptionError(key, `${name} has no option '${key}', only ${names.join(', ')}`)
  }
}
