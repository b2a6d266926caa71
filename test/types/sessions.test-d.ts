/** Factories, blocks and options: what flows through them, and what must not compile. */
import { describe, expectTypeOf, test } from 'vitest'
import { createEngine, createSessionFactory, Session, withSession } from '../../src/index.js'
import type {
  CausalFlowOptions,
  Connection,
  Consistency,
  Engine,
  EngineOptions,
  EngineStats,
  Notification,
  PrimaryReadReason,
  ReplicaStats,
  ReplicatedBind,
  ReplicationEvents,
  ReplicationOptions,
  Result,
  Savepoint,
  SessionFactory,
  SessionOptions,
  Transaction,
  WithSessionOptions,
} from '../../src/index.js'

declare const engine: Engine

class SongSession extends Session {
  countSongs(): Promise<number | null> {
    return this.scalar<number>('select count(*)::int from songs')
  }
}

describe('createSessionFactory', () => {
  test('makes sessions, or those of the class that it was given', () => {
    expectTypeOf(createSessionFactory({ bind: engine })).toEqualTypeOf<SessionFactory>()
    const factory = createSessionFactory({ bind: engine, sessionClass: SongSession })
    expectTypeOf(factory).toEqualTypeOf<SessionFactory<SongSession>>()
    expectTypeOf(factory()).toEqualTypeOf<SongSession>()
    expectTypeOf(factory({ readOnly: true })).toEqualTypeOf<SongSession>()
    expectTypeOf(factory.current()).toEqualTypeOf<SongSession | undefined>()
    expectTypeOf(factory.bind).toEqualTypeOf<Engine>()
    factory.on('afterCommit', (session) => expectTypeOf(session).toEqualTypeOf<SongSession>())
  })

  test('takes an engine for writes and others for reads', () => {
    const bind: ReplicatedBind = { write: engine, read: [engine] }
    const factory = createSessionFactory({ bind, consistency: 'session', staleWaitMillis: 50 })
    expectTypeOf(factory.bind).toEqualTypeOf<Engine>()
    expectTypeOf(factory().causalityToken).toEqualTypeOf<string | undefined>()
    expectTypeOf<ReplicationOptions['consistency']>().toEqualTypeOf<Consistency | undefined>()
    expectTypeOf<WithSessionOptions['after']>().toEqualTypeOf<string | undefined>()
    // @ts-expect-error no such consistency
    createSessionFactory({ bind, consistency: 'weak' })
    // @ts-expect-error the token is for one session
    createSessionFactory({ bind, after: 'token' })
  })

  test('runs flows of control, and tells what they have written', () => {
    const make = createSessionFactory({ bind: engine })
    expectTypeOf<Parameters<typeof make.causalFlow>[1]>().toEqualTypeOf<CausalFlowOptions | undefined>()
    expectTypeOf(make.causalFlow(() => Promise.resolve(5), { after: 'token' })).resolves.toBeNumber()
    expectTypeOf(make.causalityToken()).toEqualTypeOf<string | undefined>()
    expectTypeOf(engine.stats()).toEqualTypeOf<EngineStats>()
    expectTypeOf<EngineStats['replica']>().toEqualTypeOf<ReplicaStats | undefined>()
    expectTypeOf<ReplicationEvents['primaryRead']['reason']>().toEqualTypeOf<PrimaryReadReason>()
    engine.on('replicaEjected', ({ pauseMillis }) => expectTypeOf(pauseMillis).toBeNumber())
  })

  test('wants an engine, knows its options, and takes no other class', () => {
    // @ts-expect-error bind is missing
    createSessionFactory({})
    // @ts-expect-error no such option
    createSessionFactory({ bind: engine, expireOncommit: false })
    // @ts-expect-error a signal is for one session
    createSessionFactory({ bind: engine, signal: AbortSignal.timeout(1) })
    // @ts-expect-error not a class of sessions
    createSessionFactory({ bind: engine, sessionClass: Date })
    // @ts-expect-error a string is no boolean
    createSessionFactory({ bind: engine, autoflush: 'yes' })
    // @ts-expect-error no such event
    createSessionFactory({ bind: engine }).on('commit', () => undefined)
  })
})

describe('withSession', () => {
  const factory = createSessionFactory({ bind: engine, sessionClass: SongSession })

  test('gives the value of its block, and the block a session of the class', () => {
    expectTypeOf(factory.withSession((session) => session.countSongs())).resolves.toEqualTypeOf<
      number | null
    >()
    expectTypeOf(factory.withSession(() => 'at once')).resolves.toEqualTypeOf<string>()
    expectTypeOf(factory.withSession(() => undefined)).resolves.toEqualTypeOf<undefined>()
    expectTypeOf(
      factory.withSession(async (session) => (await session.execute<{ id: number }>('x')).all()),
    ).resolves.toEqualTypeOf<{ id: number }[]>()
    expectTypeOf(withSession(factory, (session) => session.countSongs())).resolves.toEqualTypeOf<
      number | null
    >()
    const { withSession: bound } = factory
    expectTypeOf(bound((session) => session.execute('x'))).resolves.toEqualTypeOf<
      Result<Record<string, unknown>>
    >()
  })

  test('knows its options', () => {
    void factory.withSession(() => 1, {
      isolationLevel: 'SERIALIZABLE',
      readOnly: true,
      deferrable: true,
      statementTimeoutMillis: 1,
      lockTimeoutMillis: 1,
      idleInTransactionTimeoutMillis: 1,
      role: 'reader',
      settings: { 'app.tenant': '7' },
      signal: AbortSignal.timeout(1),
      poolTimeoutMillis: null,
      commit: false,
      retry: { attempts: 3, backoff: (attempt) => attempt * 10 },
      propagation: 'required',
      info: { request: 7 },
    })
    // @ts-expect-error levels are written as SQLAlchemy writes them
    void factory.withSession(() => 1, { isolationLevel: 'serializable' })
    // @ts-expect-error no such option
    void factory.withSession(() => 1, { readonly: true })
    // @ts-expect-error no such propagation
    void factory.withSession(() => 1, { propagation: 'supports' })
    // @ts-expect-error attempts is missing
    void factory.withSession(() => 1, { retry: {} })
    // @ts-expect-error settings are texts
    void factory.withSession(() => 1, { settings: { 'app.tenant': 7 } })
    // @ts-expect-error not a function
    void factory.withSession('select 1')
    expectTypeOf<WithSessionOptions>().toExtend<SessionOptions>()
  })
})

describe('an engine', () => {
  test('knows its options', () => {
    createEngine({
      url: 'postgresql://localhost/songs',
      echo: 'debug',
      poolSize: 5,
      maxOverflow: 10,
      poolTimeoutMillis: 30_000,
      poolRecycleMillis: 1_800_000,
      poolPrePing: true,
      connectArgs: { serverSettings: { application_name: 'songs-api' } },
    })
    // The environment may not have it.
    createEngine({ url: process.env['DATABASE_URL'] })
    // @ts-expect-error no such option
    createEngine({ poolsize: 5 })
    // @ts-expect-error a text is no number
    createEngine({ poolSize: '5' })
    // @ts-expect-error no such echo
    createEngine({ echo: 'verbose' })
    // @ts-expect-error settings of the server are texts
    createEngine({ connectArgs: { serverSettings: { work_mem: 64 } } })
    expectTypeOf<EngineOptions['poolTimeoutMillis']>().toEqualTypeOf<number | null | undefined>()
  })

  test('gives connections and the values of its blocks', () => {
    expectTypeOf(engine.connect()).resolves.toEqualTypeOf<Connection>()
    expectTypeOf(engine.begin((connection) => connection.scalar<string>('x'))).resolves.toEqualTypeOf<
      string | null
    >()
    expectTypeOf(engine.begin(() => 5)).resolves.toEqualTypeOf<number>()
    expectTypeOf(engine.listen('songs')).toEqualTypeOf<AsyncGenerator<Notification, void, undefined>>()
    // @ts-expect-error autocommit is for connect
    void engine.begin(() => 5, { autocommit: true })
  })
})

test('blocks and handles of sessions and connections', () => {
  const session = {} as Session
  const connection = {} as Connection
  expectTypeOf(session.beginNested()).resolves.toEqualTypeOf<Savepoint>()
  expectTypeOf(session.beginNested(() => 5)).resolves.toEqualTypeOf<number>()
  expectTypeOf(session.begin(() => 'x')).resolves.toEqualTypeOf<string>()
  expectTypeOf(connection.begin()).resolves.toEqualTypeOf<Transaction>()
  expectTypeOf(connection.begin(() => 5)).resolves.toEqualTypeOf<number>()
  expectTypeOf(session).toExtend<AsyncDisposable>()
  expectTypeOf(connection).toExtend<AsyncDisposable>()
  expectTypeOf(engine).toExtend<AsyncDisposable>()
})
