/** The process of a contender of `scale.ts`: `node --expose-gc scale-child.js MODULE URL`. */
import type { Cost, Meter, OpenScale, SeriesName } from './scale-work.js'
import { answerRequests } from './worker.js'

export type ScaleRequest =
  | { readonly kind: 'series' }
  | { readonly kind: 'measure'; readonly series: SeriesName; readonly size: number }

/** Small sizes are executed so often that they handle as many objects as this, and at most so often. */
const AT_LEAST = 2_000
const AT_MOST_TIMES = 100

const [module = '', url = ''] = process.argv.slice(2)
const { open } = (await import(module)) as { open: OpenScale }
const contender = open(url)

answerRequests<ScaleRequest>(async (request) => {
  if (request.kind === 'series') return Object.keys(contender.series)
  const { series, size } = request
  const run = contender.series[series]
  if (run === undefined) throw new Error(`No such series here: ${series}`)
  const times =
    series === 'text' || series === 'bytea' ? 3 : Math.min(AT_MOST_TIMES, Math.ceil(AT_LEAST / size))
  // What earlier sizes left behind is not collected in this one's time.
  gc?.()
  const meter = new Stopwatch(times)
  for (let time = 0; time < times; time += 1) {
    meter.weighing = time === times - 1
    await run(size, meter)
  }
  return meter.cost()
})

class Stopwatch implements Meter {
  /** Only the last execution is weighed: a full collection takes longer than a small size. */
  weighing = false
  readonly #times: number
  #millis = 0
  #cpuMicros = 0
  #base = NaN
  #bytes = NaN

  constructor(times: number) {
    this.#times = times
  }

  async time<Value>(work: () => Promise<Value>): Promise<Value> {
    const cpuBefore = process.cpuUsage()
    const startedAt = performance.now()
    const value = await work()
    this.#millis += performance.now() - startedAt
    const cpu = process.cpuUsage(cpuBefore)
    this.#cpuMicros += cpu.user + cpu.system
    return value
  }

  async mark(): Promise<void> {
    if (!this.weighing) return
    // What a weak reference or a finalizer still holds is free after a turn of the event loop.
    for (let turn = 0; turn < 3; turn += 1) {
      gc?.()
      await new Promise(setImmediate)
    }
    this.#base = held()
  }

  weigh(): void {
    if (this.weighing) this.#bytes = held() - this.#base
  }

  cost(): Cost {
    return {
      millis: this.#millis / this.#times,
      cpuMicros: this.#cpuMicros / this.#times,
      bytes: this.#bytes,
    }
  }
}

function held(): number {
  gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
