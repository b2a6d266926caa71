/** Durations of the statements, transactions and flushes of an engine, by labels that have few values. */
import type {
  FlushMessage,
  MessageSource,
  StatementMessage,
  TransactionMessage,
} from '../../internal/channels.js'
import { follow, type Ended } from '../telemetry/follow.js'
import { histogramValues, type HistogramParts, type Labels, type MetricValues } from './samples.js'

/** One histogram with labels. */
interface CountedFamily {
  readonly name: string
  readonly help: string
  read(name: string, labels: Labels): MetricValues[]
}

/** A distribution in powers of two of a microsecond, as the pool's own. */
class Durations implements HistogramParts {
  readonly labels: Labels
  readonly #counts = new Map<number, number>()
  count = 0
  sumMillis = 0

  constructor(labels: Labels) {
    this.labels = labels
  }

  record(millis: number): void {
    const upToMillis = 2 ** Math.max(0, Math.ceil(Math.log2(millis * 1_000))) / 1_000
    this.#counts.set(upToMillis, (this.#counts.get(upToMillis) ?? 0) + 1)
    this.count += 1
    this.sumMillis += millis
  }

  get buckets(): HistogramParts['buckets'] {
    return [...this.#counts].map(([upToMillis, count]) => ({ upToMillis, count }))
  }
}

export class StatementCounts {
  readonly families: readonly CountedFamily[]
  readonly #stop: readonly (() => void)[]

  constructor(engineId: number) {
    const stop: (() => void)[] = []
    const family = <Message extends MessageSource>(
      channel: string,
      name: string,
      help: string,
      labelsOf: (message: Message & Ended) => Labels,
    ): CountedFamily => {
      const started = new WeakMap<object, number>()
      const known = new Map<string, Durations>()
      stop.push(
        follow<Message>(channel, engineId, {
          start: (message) => void started.set(message, performance.now()),
          end: (message) => {
            const startedAt = started.get(message)
            if (startedAt === undefined) return
            const labels = labelsOf(message)
            const key = Object.values(labels).join('\n')
            const durations = known.get(key) ?? new Durations(labels)
            known.set(key, durations)
            durations.record(performance.now() - startedAt)
          },
        }),
      )
      const read: CountedFamily['read'] = (full, labels) =>
        [...known.values()].flatMap((durations) =>
          histogramValues(full, { ...labels, ...durations.labels }, durations),
        )
      return { name, help, read }
    }
    this.families = [
      family<StatementMessage>(
        'lifeguard:statement',
        'statement_duration_seconds',
        'Duration of statements by command, and class of SQLSTATE where they failed',
        ({ command = '', error, operation, sqlState }) => ({
          command: operation ?? command,
          error: error === undefined ? '' : (sqlState?.slice(0, 2) ?? 'client'),
        }),
      ),
      family<TransactionMessage>(
        'lifeguard:transaction',
        'transaction_duration_seconds',
        'Time from BEGIN to the end of a transaction, by outcome',
        ({ outcome = 'unknown' }) => ({ outcome }),
      ),
      family<FlushMessage>(
        'lifeguard:flush',
        'flush_duration_seconds',
        'Duration of flushes',
        ({ error }) => ({ outcome: error === undefined ? 'flushed' : 'failed' }),
      ),
    ]
    this.#stop = stop
  }

  stop(): void {
    for (const stop of this.#stop) stop()
  }
}
