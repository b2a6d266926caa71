/** The engine of the process: `sharedEngine` returns the same one when a hot reload evaluates this module again. */
import { createSessionFactory } from 'lifeguard'
import { requestSessions, sharedEngine } from 'lifeguard/serverless'

const engine = sharedEngine({ url: process.env.DATABASE_URL, poolSize: 3, maxOverflow: 0 })
export const db = requestSessions(createSessionFactory({ bind: engine }))
