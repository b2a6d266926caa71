/** `app/notes/route.ts` of Next.js: lists and stores notes. Set `serverExternalPackages: ['lifeguard']` in `next.config`. */
import { asc, select } from 'lifeguard'
import { db } from '../../db'
import { Note } from '../../entities'

export const GET = db.handler(async () => {
  const notes = await db().scalars(select(Note).orderBy(asc(Note.c.text)))
  return Response.json(notes.map((note) => note.text))
})

export const POST = db.handler(async (request) => {
  db().add(new Note({ text: await request.text() }))
  return new Response(null, { status: 201 })
})
