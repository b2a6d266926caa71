/** Turns the state of a pool into the error of an acquire that waited too long. */
import { PoolTimeoutError, type AcquirePhase, type Holder } from './errors.js'
import type { CallSite } from './call-site.js'
import type { ConnectionRecord } from './record.js'
import { describeStats, type PoolStats } from './stats.js'

const NAMED_HOLDERS = 5
const LONGEST_STATEMENT = 200

/** What is known about the acquire that gave up. */
export interface TimedOutAcquire {
  readonly phase: AcquirePhase
  readonly waitedMillis: number
  readonly context: object | undefined
  readonly lateMillis: number
}

/** @param target where the pool connects, without secrets. */
export function poolTimeoutError(
  acquire: TimedOutAcquire,
  stats: PoolStats,
  target: string,
  borrowed: readonly ConnectionRecord[],
  now: number,
): PoolTimeoutError {
  const longestFirst = [...borrowed].sort((one, other) => one.acquiredAt - other.acquiredAt)
  const holders = longestFirst.slice(0, NAMED_HOLDERS).map((record) => holderOf(record, acquire.context, now))
  const own = borrowed.filter((record) => isSame(record.context, acquire.context)).length
  const lines = [headline(acquire, stats, target), ...holders.map(holderLine)]
  if (borrowed.length > holders.length) lines.push(`  and ${String(borrowed.length - holders.length)} more`)
  if (own > 0) {
    lines.push(
      `The code that waits holds ${String(own)} of them itself. Let it use the connection it has: nested acquires lock each other out under load.`,
    )
  }
  if (acquire.lateMillis > 0) {
    lines.push(
      `The event loop was blocked for about ${millis(acquire.lateMillis)}: the pool may be innocent.`,
    )
  }
  if (stats.lastConnectError !== undefined)
    lines.push(`Last failure to connect: ${stats.lastConnectError.message}`)
  const details = { ...acquire, stats, holders, eventLoopDelayMillis: acquire.lateMillis }
  return new PoolTimeoutError(
    lines.join('\n'),
    details,
    stats.lastConnectError && { cause: stats.lastConnectError },
  )
}

const PHASES: Readonly<Record<AcquirePhase, string>> = {
  wait: 'every connection was in use',
  connect: 'none could be opened in time',
  ping: 'an idle connection did not answer its probe in time',
  reset: 'a connection that came back was still being reset',
}

function headline({ phase, waitedMillis }: TimedOutAcquire, stats: PoolStats, target: string): string {
  const waited =
    waitedMillis === 0 ? 'No connection is free' : `No connection came within ${millis(waitedMillis)}`
  return `${waited}: ${PHASES[phase]}. ${describeStats(stats)}. Target: ${target}.`
}

function holderOf(record: ConnectionRecord, context: object | undefined, now: number): Holder {
  return {
    connectionId: record.connection.id,
    processId: record.connection.processId,
    heldMillis: now - record.acquiredAt,
    statement: record.statement,
    stack: stackOf(record.origin),
    sameContext: isSame(record.context, context),
  }
}

function isSame(one: object | undefined, other: object | undefined): boolean {
  return one !== undefined && one === other
}

function holderLine({ connectionId, processId, heldMillis, statement, stack }: Holder): string {
  const head = `  connection ${String(connectionId)} (backend ${String(processId)}) held for ${millis(heldMillis)}`
  const doing = statement === undefined ? '' : `, last statement: ${shorten(statement)}`
  return stack === undefined ? head + doing : `${head}${doing}, acquired\n${stack}`
}

function shorten(statement: string): string {
  const line = statement.replace(/\s+/g, ' ').trim()
  return line.length > LONGEST_STATEMENT ? `${line.slice(0, LONGEST_STATEMENT)}...` : line
}

function millis(value: number): string {
  return `${String(Math.round(value))} ms`
}

/** The frames of a captured stack, without its headline. */
export function stackOf(origin: CallSite | undefined): string | undefined {
  return origin?.stack.split('\n').slice(1).join('\n')
}
