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
  let refused = 0
  load.on('response', (_client, status, _bytes, responseTime) => {
    if (status === 200) latencies.push(responseTime)
    if (status === 503) refused += 1
  })
  const startedAt = performance.now()
  const { non2xx, errors } = await new Promise<autocannon.Result>((resolve) => load.on('done', resolve))
  const seconds = (performance.now() - startedAt) / 1_000
  const wrong = non2xx - refused
  if (wrong + errors > 0)
    throw new Error(
      `${path}: ${String(wrong)} answers are not 200 or 503, ${String(errors)} connections failed`,
    )
  const answered = latencies.length
  return { seconds, due: answered + refused, answered, refused, ...percentiles(latencies) }
}
