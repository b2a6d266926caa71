/** A song: its table, and what it can do. */
import { randomUUID } from 'node:crypto'
import { integer, sql, text, timestamptz, uuid } from 'lifeguard'
import { Base } from './base.js'

export class Song extends Base.entity('songs', {
  id: uuid().primaryKey().default(randomUUID),
  title: text().notNull().unique(),
  plays: integer()
    .notNull()
    .default(0)
    .check(sql`plays >= 0`),
  createdAt: timestamptz('created_at')
    .notNull()
    .serverDefault(sql`now()`),
}) {}
