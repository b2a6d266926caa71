/** The process of one service: `node service-child.js MODULE [VARIANT]`. */
import type { AddressInfo } from 'node:net'
import { serviceApp } from './service-app.js'
import type { OpenService } from './service-work.js'
import { answerRequests } from './worker.js'

export type ServiceRequest =
  /** Answers with the port. */
  | { readonly kind: 'listen'; readonly url: string }
  /** Answers with the CPU time of the process so far, garbage collector included, in microseconds. */
  | { readonly kind: 'cpu' }

const [module = '', variant] = process.argv.slice(2)
const { open } = (await import(module)) as { open: OpenService }

answerRequests<ServiceRequest>(async (request) => {
  if (request.kind === 'cpu') {
    const { user, system } = process.cpuUsage()
    return user + system
  }
  const app = serviceApp(open(request.url, variant))
  await app.listen({ host: '127.0.0.1', port: 0 })
  return (app.server.address() as AddressInfo).port
})
