import fc from 'fast-check'
import { expect, test } from 'vitest'
import { declarativeBase } from '../../../src/schema/base.js'
import { integer, serial, text } from '../../../src/schema/column-types.js'
import { metaOf } from '../../../src/schema/entity-meta.js'
import { hadValue, isFilledIn } from '../../../src/schema/filled-in.js'

test('each object knows which of its columns the constructor filled in, whatever was made before it', () => {
  const values = fc.array(
    fc.record({ id: fc.nat(), title: fc.string(), plays: fc.nat(), note: fc.string() }, { requiredKeys: [] }),
    { minLength: 1, maxLength: 8 },
  )
  fc.assert(
    fc.property(values, (several) => {
      // A new class for each run: the first object of a class is a case of its own.
      class Song extends declarativeBase().entity('songs', {
        id: serial().primaryKey(),
        title: text().notNull(),
        plays: integer().notNull().default(7),
        note: text(),
      }) {}
      const { columns } = metaOf(Song).table
      const songs = several.map((given) => new Song(given as ConstructorParameters<typeof Song>[0]))
      for (const [at, song] of songs.entries()) {
        const given = several[at] as Record<string, unknown>
        for (const column of columns) {
          expect(isFilledIn(song, column)).toBe(given[column.property] === undefined)
          expect(hadValue(song, column)).toBe(
            given[column.property] !== undefined || ['plays', 'note'].includes(column.property),
          )
        }
      }
    }),
  )
})
