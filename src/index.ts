// Engine
export { createEngine, Engine } from './engine/engine.js'
export type { BeginOptions, ConnectionOptions } from './engine/begin-options.js'
export type { EngineOptions } from './engine/options.js'
export type { CheckFailure, CheckOptions, EngineCheck } from './engine/check.js'
export type { ConnectOptions, Password, PasswordRequest } from './driver/connect-options.js'
export type { HostOption } from './driver/hosts.js'
export type { ConnectArgs, OpenStream, TargetSessionAttrs } from './driver/connect-args.js'
export type { SslMode } from './driver/tls.js'
export type { DriverConnection, FieldDescription, TypeParser, TypeParsers } from './driver/driver.js'
export { Connection } from './engine/connection.js'
export type { Transaction } from './engine/connection.js'
export type { Savepoint } from './execution/scope.js'
export type { IsolationLevel, TransactionOptions } from './pipeline/transaction-options.js'
export type { StatementOptions } from './execution/statement-options.js'
export type { StreamOptions } from './execution/cursor.js'
export type { ListenOptions, Notification } from './engine/listen.js'
export type { RetryEvent, RetryOptions } from './engine/retry.js'
export type { Echo, Logger } from './engine/echo.js'

// Sessions
export { createSessionFactory, withSession } from './session/session-factory.js'
export type { Consistency, ReplicatedBind, ReplicationOptions } from './session/replication.js'
export type {
  CausalFlowOptions,
  SessionClass,
  SessionFactory,
  SessionFactoryOptions,
} from './session/session-factory.js'
export { Session } from './session/session.js'
export type { SessionParts } from './session/session.js'
export type { EntitySession, GetOptions, RefreshOptions } from './session/entity-methods.js'
export type { SessionEvent, SessionHook } from './session/session-hooks.js'
export type { Propagation, SessionOptions, WithSessionOptions } from './session/session-options.js'

// Statements and results
export { sql, SqlFragment } from './sql.js'
export type {
  CompiledQueryLike,
  DrizzleCommandLike,
  DrizzleLike,
  KyselyLike,
  SqlTag,
  Statement,
  StatementConfig,
} from './sql.js'
export type { ValueParsers } from './internal/value-parsers.js'
export type { UntypedStatement } from './execution/executor.js'
export { Result } from './result/result.js'
export { ResultStream } from './result/result-stream.js'

// Mapping
export { declarativeBase } from './schema/base.js'
export type { DeclarativeBase, DeclarativeBaseOptions } from './schema/base.js'
export {
  bigint,
  bigserial,
  boolean,
  bytea,
  char,
  date,
  doublePrecision,
  integer,
  interval,
  json,
  jsonb,
  numeric,
  real,
  serial,
  smallint,
  smallserial,
  text,
  time,
  timestamp,
  timestamptz,
  uuid,
  varchar,
  version,
} from './schema/column-types.js'
export type { LengthOptions, NumericOptions, PrecisionOptions } from './schema/column-types.js'
export { customType, enumType } from './schema/custom-types.js'
export type { CustomTypeOptions } from './schema/custom-types.js'
export { jsonNull } from './codecs/json-null.js'
export type { JsonNull } from './codecs/json-null.js'
export { Column } from './schema/column.js'
export type { ArrayOptions, ColumnFlag, Columns, ReferenceAction, ReferenceRules } from './schema/column.js'
export { ColumnRef } from './schema/column-ref.js'
export type { EntityHooks } from './schema/entity-hooks.js'
export type {
  AnyEntity,
  ColumnName,
  DeferredName,
  ColumnRefs,
  ColumnsOf,
  EntityClass,
  Insert,
  InstanceOf,
  KeyOf,
  Row,
  Update,
} from './schema/entity-types.js'
export { Metadata } from './schema/metadata.js'
export type { DdlOptions, ScriptRunner } from './schema/metadata.js'
export type { LoadOptions } from './query/relation-part.js'
export type { FilterOptions, Filters } from './schema/filters.js'
export type { NamingStrategy } from './schema/naming.js'
export type { EntityOptions, ForeignKeyOptions, IndexOptions } from './schema/table-options.js'
export { belongsTo, hasMany, hasOne, manyToMany } from './schema/relations.js'
export type {
  BelongsTo,
  Cascade,
  CollectionName,
  CollectionOptions,
  HasMany,
  HasOne,
  Loaded,
  LoadedPart,
  ManyToMany,
  ManyToManyOptions,
  RelationName,
  RelationOptions,
  RelationPath,
  WithRelations,
} from './schema/relations.js'
export { build } from './schema/build.js'
export type { BuildValues } from './schema/build.js'

// Queries for entities
export { select, Select } from './query/select.js'
export type { Exists } from './query/exists.js'
export type { LockOptions, Picked } from './query/select.js'
export { BulkDelete, BulkUpdate, deleteFrom, update } from './query/bulk.js'
export { BulkInsert, insert, InsertStart, OnConflict } from './query/insert.js'
export type { ConflictChanges } from './query/insert.js'
export {
  and,
  asc,
  between,
  desc,
  eq,
  gt,
  gte,
  ilike,
  inArray,
  isNull,
  like,
  lt,
  lte,
  ne,
  not,
  or,
} from './query/conditions.js'
export type { Operand, OrderOptions } from './query/conditions.js'
export type { Condition } from './sql.js'
export type { EntityStatement, ValueStatement } from './query/entity-statement.js'

// Pool
export { QueuePool } from './pool/queue-pool.js'
export { NullPool } from './pool/null-pool.js'
export type { PoolClass, PoolOptions, PoolParts } from './pool/options.js'
export type { ConnectionEvent, LeakEvent, PoolEvents } from './pool/events.js'
export type { EngineEvents, NoticeEvent } from './engine/events.js'
export type { CloseReason, PoolCounters, PoolStats } from './pool/stats.js'
export type {
  EngineStats,
  PrimaryReadReason,
  ReplicaStats,
  ReplicationEvents,
} from './engine/replica-stats.js'
export type { StatsOptions } from './pool/stats-window.js'
export type { HistogramSnapshot } from './pool/histogram.js'
export type {
  AcquireOptions,
  DisposeOptions,
  DisposeReport,
  Lease,
  LeaseReceiver,
  Pool,
  ReleaseOptions,
} from './pool/pool.js'
export type { Unsubscribe } from './internal/emitter.js'

// Errors
export {
  AbortedError,
  CommitOutcomeUnknownError,
  ConnectError,
  ConnectionClosedError,
  ConnectionLostError,
  EngineDisposedError,
  ExpiredAttributeError,
  HookError,
  IllegalStateError,
  InvalidOptionError,
  InvalidStatementError,
  InvalidValueError,
  LifeguardError,
  MappingError,
  MultipleResultsError,
  NoResultError,
  RelationNotLoadedError,
  SessionClosedError,
  StaleDataError,
  TransactionAbortedError,
  UnawaitedStatementError,
  UnreadableResultError,
} from './errors.js'
export type { ErrorCode } from './errors.js'
export { PoolQueueFullError, PoolTimeoutError } from './pool/errors.js'
export type { AcquirePhase, Holder } from './pool/errors.js'
export {
  CheckViolationError,
  DataError,
  DatabaseError,
  DeadlockError,
  ExclusionViolationError,
  ForeignKeyViolationError,
  InsufficientPrivilegeError,
  IntegrityError,
  InvalidTextRepresentationError,
  LockTimeoutError,
  NotNullViolationError,
  QueryCanceledError,
  ReadOnlyError,
  SerializationFailureError,
  SqlSyntaxError,
  StatementTimeoutError,
  UndefinedColumnError,
  UndefinedTableError,
  UniqueViolationError,
  isDisconnect,
  isRetryable,
  isTimeout,
} from './database-errors.js'
