/** The base and its entities in one module: a hot reload evaluates them together. */
import { declarativeBase, serial, text } from 'lifeguard'

export const Base = declarativeBase()

export class Note extends Base.entity('notes', {
  id: serial().primaryKey(),
  text: text().notNull().unique(),
}) {}
