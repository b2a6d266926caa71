/** The process that sends the requests of `service.ts`. */
import autocannon from 'autocannon'
import { openLoop, percentiles, type LoadResult, type OpenLoop } from './open-loop.js'
import { answerRequests } from './worker.js'

/** As many callers as there are connections, each sends the next request when it has the answer: what the service can do at most. */
export interface ClosedLoop {
  readonly port: number
  readonly path: string
  readonly millis: number
  readonly connections: number
}

export type LoadRequest = ({ readonly kind: 'open' } & OpenLoop) | ({ readonly kind: 'closed' } & ClosedLoop)

answerRequests<LoadRequest>((request) => (request.kind === 'open' ? openLoop(request) : closedLoop(request)))

async function closedLoop({ port, path, millis, connections }: ClosedLoop): Promise<LoadResult> {
  const latencies: number[] = []
  const load = autocannon(
    {
      url: `http://127.0.0.1:${String(port)}${path}`,
      connections,
      duration: millis / 1_000,
      sampleInt: 10,
    },
    () => undefined,
  )
  load.on('response', (_client, status, _bytes, responseTime) => {
    if (status === 200) latencies.push(responseTime)
  })
  const startedAt = performance.now()
  const { non2xx, errors } = await new Promise<autocannon.Result>((resolve) => load.on('done', resolve))
  const seconds = (performance.now() - startedAt) / 1_000
  if (non2xx + errors > 0)
    throw new Error(`${path}: ${String(non2xx)} answers are not 200, ${String(errors)} connections failed`)
  const answered = latencies.length
  return { seconds, due: answered, answered, refused: 0, ...percentiles(latencies) }
}
