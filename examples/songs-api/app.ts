/** The application: its lifespan, its routes, and what its errors mean to a client. */
import Fastify, { type FastifyInstance } from 'fastify'
import { isTimeout, UniqueViolationError } from 'lifeguard'
import { closeDatabase, engine, initDatabase } from './database.js'
import { settings } from './settings.js'
import { songRouter } from './song-router.js'
import { SongNotFoundError } from './song-service.js'

export function createApp(): FastifyInstance {
  const app = Fastify({ logger: settings.debug })

  // Lifespan: before the first request, and after the last one was answered.
  app.addHook('onReady', initDatabase)
  app.addHook('onClose', closeDatabase)

  // A client that keeps its connection open must not hold up the shutdown until its keep-alive ends.
  let closing = false
  app.addHook('preClose', async () => {
    closing = true
  })
  app.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close')
  })

  app.get('/health', () => {
    const { borrowed, idle, waiting } = engine.stats()
    return { borrowed, idle, waiting }
  })
  app.register(songRouter, { prefix: '/songs' })

  app.setErrorHandler((error, request, reply) => {
    if (error instanceof SongNotFoundError) return reply.code(404).send({ error: error.message })
    if (error instanceof UniqueViolationError) return reply.code(409).send({ error: 'This title is taken' })
    if (isTimeout(error)) {
      // The message of a pool timeout names who holds the connections; the client need not know.
      request.log.error(error)
      return reply.code(503).send({ error: 'Too busy, try again later' })
    }
    throw error
  })
  return app
}
