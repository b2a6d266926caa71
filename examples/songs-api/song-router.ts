/** The routes. Knows HTTP, and leaves the rest to the service. */
import type { FastifyInstance } from 'fastify'
import { inSession } from './request-session.js'
import { SongService } from './song-service.js'

const ID = { params: { type: 'object', properties: { id: { type: 'string', format: 'uuid' } } } }
const TITLE = { type: 'string', minLength: 1, maxLength: 200 }
const SONG = { body: { type: 'object', required: ['title'], properties: { title: TITLE } } }
const TITLES = { body: { type: 'array', items: TITLE, minItems: 1, maxItems: 100 } }
const LIST = {
  querystring: {
    type: 'object',
    properties: {
      limit: { type: 'integer', minimum: 1, maximum: 100, default: 10 },
      minPlays: { type: 'integer', minimum: 0, default: 0 },
    },
  },
}

// A read-only transaction gives its value without waiting for COMMIT's answer.
const READ = { readOnly: true }

export async function songRouter(app: FastifyInstance): Promise<void> {
  app.get<{ Querystring: { limit: number; minPlays: number } }>(
    '/',
    { schema: LIST },
    inSession((session, { query }) => {
      return new SongService(session.songs).mostPlayed(query.limit, query.minPlays)
    }, READ),
  )

  app.get<{ Params: { id: string } }>(
    '/:id',
    { schema: ID },
    inSession((session, request) => new SongService(session.songs).getSong(request.params.id), READ),
  )

  app.post<{ Body: { title: string } }>(
    '/',
    { schema: SONG },
    inSession((session, request, reply) => {
      reply.code(201)
      return new SongService(session.songs).addSong(request.body.title)
    }),
  )

  app.post<{ Body: string[] }>(
    '/import',
    { schema: TITLES },
    inSession((session, request, reply) => {
      reply.code(201)
      return new SongService(session.songs).importSongs(request.body)
    }),
  )

  app.post<{ Params: { id: string } }>(
    '/:id/plays',
    { schema: ID },
    inSession((session, request) => new SongService(session.songs).play(request.params.id)),
  )

  app.delete<{ Params: { id: string } }>(
    '/:id',
    { schema: ID },
    inSession((session, request, reply) => {
      reply.code(204)
      return new SongService(session.songs).removeSong(request.params.id)
    }),
  )
}
