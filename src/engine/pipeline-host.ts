/** What an engine provides for its pipelines. */
import { currentFlow } from '../internal/async-scope.js'
import type { Clock } from '../internal/clock.js'
import type { PipelineHost, PipelineObserver } from '../pipeline/contract.js'
import { LeaseSharing } from '../pipeline/lease-sharing.js'
import { SharedReads } from '../pipeline/shared-reads.js'
import { SynchronousStandbys } from '../pipeline/synchronous-standbys.js'
import { CallSites } from '../pool/call-site.js'
import type { Pool } from '../pool/pool.js'
import type { ResolvedEngineOptions } from './options.js'

export interface HostParts {
  readonly name: string
  readonly engineId: number
  readonly options: ResolvedEngineOptions
  readonly clock: Clock
  readonly cancelTimeoutMillis: number
  /** The pool at the moment: `recreate()` replaces it. */
  readonly pool: () => Pool
  /** The echo at the moment. */
  readonly observer: () => PipelineObserver | undefined
}

export function createHost({
  name,
  engineId,
  options: { hideParameters, pipelining, pool: poolOptions },
  clock,
  cancelTimeoutMillis,
  pool,
  observer,
}: HostParts): PipelineHost {
  // With the context, an exhausted pool can tell that a caller waits for a connection that it holds itself.
  // Spelt out: Node 20 makes a new hidden class for each object that is a spread with further properties (3 us).
  const acquire: PipelineHost['acquire'] = ({ signal, timeoutMillis, proof, failsFast }, callSite) =>
    pool().acquire({ signal, timeoutMillis, proof, failsFast, callSite, context: currentFlow() })
  // A reset on return promises a clean connection to each session.
  const shares = pipelining && poolOptions.poolResetOnReturn !== 'session'
  const reads = shares ? new SharedReads(clock) : undefined
  const isDisposed = (): boolean => pool().stats().disposed
  const requestByPromise = requestBy(acquire)
  return {
    source: { pool: name, engineId },
    acquire,
    request(receiver, options, callSite) {
      const current = pool()
      if (current.request === undefined) requestByPromise(receiver, options, callSite)
      else current.request(receiver, options, currentFlow(), callSite)
    },
    callSites: poolOptions.captureStacks ? new CallSites() : undefined,
    clock,
    hideParameters,
    sharedReads: reads,
    sharing: reads && new LeaseSharing({ clock, cancelTimeoutMillis, reads, isDisposed }),
    standbys: new SynchronousStandbys(),
    prePingTimeoutMillis: poolOptions.prePingTimeoutMillis,
    cancelTimeoutMillis,
    get observer() {
      return observer()
    },
  }
}

/** The same host with other connections. @param prePingTimeoutMillis For the connection that was acquired last. */
export function withAcquire(
  host: PipelineHost,
  acquire: PipelineHost['acquire'],
  prePingTimeoutMillis: () => number,
): PipelineHost {
  const request = requestBy(acquire)
  return Object.create(host, {
    acquire: { value: acquire },
    request: { value: request },
    sharedReads: { value: undefined },
    sharing: { value: undefined },
    prePingTimeoutMillis: { get: prePingTimeoutMillis },
  }) as PipelineHost
}

/** A `request` that passes on the result of `acquire`. */
function requestBy(acquire: PipelineHost['acquire']): PipelineHost['request'] {
  return (receiver, options, callSite) => {
    acquire(options, callSite).then(
      (lease) => receiver.leased(lease),
      (error: unknown) => receiver.refused(error),
    )
  }
}
