/** The public types that the other files do not come across. */
import { describe, expectTypeOf, test } from 'vitest'
import { createEngine, NullPool, type PoolTimeoutError, QueuePool, type Session } from '../../src/index.js'
import type {
  AcquireOptions,
  AcquirePhase,
  BeginOptions,
  CheckFailure,
  CheckOptions,
  CloseReason,
  CompiledQueryLike,
  ConnectArgs,
  ConnectionEvent,
  ConnectionOptions,
  ConnectOptions,
  DisposeOptions,
  DisposeReport,
  DriverConnection,
  DrizzleCommandLike,
  DrizzleLike,
  Echo,
  Engine,
  EngineCheck,
  EngineEvents,
  EngineOptions,
  EngineStats,
  ErrorCode,
  FieldDescription,
  HistogramSnapshot,
  Holder,
  IsolationLevel,
  KyselyLike,
  Lease,
  LeaseReceiver,
  LeakEvent,
  LifeguardError,
  ListenOptions,
  Logger,
  NoticeEvent,
  HostOption,
  Password,
  PasswordRequest,
  Pool,
  PoolClass,
  PoolCounters,
  PoolEvents,
  PoolOptions,
  PoolParts,
  PoolStats,
  ReleaseOptions,
  RetryEvent,
  Propagation,
  Result,
  RetryOptions,
  SessionClass,
  SessionFactoryOptions,
  SessionHook,
  SessionParts,
  SqlTag,
  StatsOptions,
  SslMode,
  TargetSessionAttrs,
  Statement,
  StatementConfig,
  StatementOptions,
  StreamOptions,
  TransactionOptions,
  TypeParser,
  TypeParsers,
  Unsubscribe,
  UntypedStatement,
} from '../../src/index.js'

declare const engine: Engine

describe('options', () => {
  test('of an engine are those of connecting, of the pool, and of transactions', () => {
    expectTypeOf<EngineOptions>().toExtend<ConnectOptions & PoolOptions & TransactionOptions>()
    expectTypeOf<() => Promise<string>>().toExtend<Password>()
    expectTypeOf<(server: PasswordRequest) => string>().toExtend<Password>()
    expectTypeOf<PasswordRequest>().toEqualTypeOf<{ readonly host: string; readonly port: number }>()
    expectTypeOf<{ host: string }>().toExtend<HostOption>()
    expectTypeOf<ConnectArgs['target_session_attrs']>().toEqualTypeOf<TargetSessionAttrs | undefined>()
    expectTypeOf<ConnectArgs['sslmode']>().toEqualTypeOf<SslMode | undefined>()
    expectTypeOf<'verify-full'>().toExtend<SslMode>()
    expectTypeOf<TransactionOptions['isolationLevel']>().toEqualTypeOf<IsolationLevel | undefined>()
    expectTypeOf<true | 'debug' | Logger>().toExtend<Echo>()
    expectTypeOf<EngineOptions['types']>().toEqualTypeOf<TypeParsers | undefined>()
    expectTypeOf<TypeParser>().toBeCallableWith('text')
    expectTypeOf<EngineOptions['poolClass']>().toEqualTypeOf<PoolClass | undefined>()
    expectTypeOf(QueuePool).toExtend<PoolClass>()
    expectTypeOf(QueuePool).constructorParameters.toExtend<[PoolParts, ...unknown[]]>()
    expectTypeOf(NullPool).toExtend<PoolClass>()
    // @ts-expect-error no pool
    createEngine({ poolClass: Map })
    // @ts-expect-error no such mode of TLS
    createEngine({ connectArgs: { sslmode: 'on' } })
  })

  test('of calls', () => {
    expectTypeOf<Parameters<Engine['connect']>[0]>().toEqualTypeOf<ConnectionOptions | undefined>()
    expectTypeOf<ConnectionOptions>().toExtend<BeginOptions>()
    expectTypeOf<Parameters<Engine['listen']>[1]>().toEqualTypeOf<ListenOptions | undefined>()
    expectTypeOf<Parameters<Engine['dispose']>[0]>().toEqualTypeOf<DisposeOptions | undefined>()
    expectTypeOf<ReturnType<Engine['dispose']>>().resolves.toEqualTypeOf<DisposeReport>()
    expectTypeOf<StreamOptions>().toExtend<StatementOptions>()
    expectTypeOf<RetryOptions['attempts']>().toEqualTypeOf<number>()
    expectTypeOf<Propagation>().toEqualTypeOf<'required' | 'nested' | 'requiresNew' | 'mandatory'>()
  })

  test('of factories', () => {
    expectTypeOf<SessionFactoryOptions['sessionClass']>().toEqualTypeOf<SessionClass<Session> | undefined>()
    expectTypeOf<typeof Session>().toExtend<SessionClass<Session>>()
    expectTypeOf<ConstructorParameters<typeof Session>>().toEqualTypeOf<[parts: SessionParts]>()
    expectTypeOf<SessionHook<Session>>().toEqualTypeOf<(session: Session) => unknown>()
  })
})

describe('statements', () => {
  test('come in several forms', () => {
    expectTypeOf<
      string | StatementConfig | CompiledQueryLike | DrizzleCommandLike
    >().toEqualTypeOf<UntypedStatement>()
    expectTypeOf<UntypedStatement>().toExtend<Statement>()
    expectTypeOf<KyselyLike<{ id: number }>>().toExtend<Statement>()
    expectTypeOf<DrizzleLike<{ id: number }>>().toExtend<DrizzleCommandLike>()
    expectTypeOf<SqlTag['join']>().parameter(0).toEqualTypeOf<readonly unknown[]>()
    expectTypeOf<Result['fields']>().toEqualTypeOf<readonly FieldDescription[]>()
  })
})

describe('the pool', () => {
  test('tells its state', () => {
    expectTypeOf(engine.stats()).toEqualTypeOf<EngineStats>()
    expectTypeOf<StatsOptions['since']>().toEqualTypeOf<PoolStats | undefined>()
    expectTypeOf<PoolStats['counters']>().toEqualTypeOf<PoolCounters>()
    expectTypeOf<PoolStats['wait']>().toEqualTypeOf<HistogramSnapshot>()
    expectTypeOf<PoolStats['closed']>().toEqualTypeOf<Readonly<Record<CloseReason, number>>>()
  })

  test('tells its events', () => {
    expectTypeOf(
      engine.on('leak', (event) => expectTypeOf(event).toEqualTypeOf<LeakEvent>()),
    ).toEqualTypeOf<Unsubscribe>()
    engine.on('notice', (event) => expectTypeOf(event).toEqualTypeOf<NoticeEvent>())
    engine.on('retry', (event) => expectTypeOf(event).toEqualTypeOf<RetryEvent>())
    expectTypeOf<EngineEvents>().toExtend<PoolEvents>()
    expectTypeOf<PoolEvents['detach']>().toEqualTypeOf<ConnectionEvent>()
    expectTypeOf<ConnectionEvent['connection']>().toEqualTypeOf<DriverConnection>()
    // @ts-expect-error no such event
    engine.on('checkout', () => undefined)
  })

  test('lends leases', () => {
    expectTypeOf<Parameters<Lease['release']>>().toEqualTypeOf<[options?: ReleaseOptions]>()
    expectTypeOf<Parameters<Pool['acquire']>>().toEqualTypeOf<[options?: AcquireOptions]>()
    expectTypeOf<ReturnType<Pool['acquire']>>().resolves.toEqualTypeOf<Lease>()
    expectTypeOf<Parameters<NonNullable<Pool['request']>>[0]>().toEqualTypeOf<LeaseReceiver>()
  })
})

test('a check says why it was not passed', () => {
  expectTypeOf<Parameters<Engine['check']>>().toEqualTypeOf<[options?: CheckOptions]>()
  expectTypeOf<ReturnType<Engine['check']>>().resolves.toEqualTypeOf<EngineCheck>()
  expectTypeOf<EngineCheck['reason']>().toEqualTypeOf<CheckFailure | undefined>()
})

test('errors have codes, and what they know', () => {
  expectTypeOf<LifeguardError['code']>().toEqualTypeOf<ErrorCode>()
  expectTypeOf<PoolTimeoutError['phase']>().toEqualTypeOf<AcquirePhase>()
  expectTypeOf<PoolTimeoutError['holders']>().toEqualTypeOf<readonly Holder[]>()
})
