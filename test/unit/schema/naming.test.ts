/** Names of columns that a base derives from the names of properties. */
import { describe, expect, test } from 'vitest'
import { InvalidOptionError, MappingError, declarativeBase, integer, text } from '../../../src/index.js'

import { metaOf } from '../../../src/schema/entity-meta.js'
const namesOf = (naming: Parameters<typeof declarativeBase>[0], properties: readonly string[]): string[] => {
  const columns = Object.fromEntries(properties.map((property) => [property, text()]))
  const Entity = declarativeBase(naming).entity('t', { ...columns, id: integer().primaryKey() })
  return metaOf(Entity).table.columns.map(({ name }) => name)
}

describe('naming', () => {
  test('snake_case', () => {
    const properties = [
      'albumId',
      'HTMLBody',
      'createdAt',
      'line2',
      'address2Line',
      'already_snake',
      'größeÄnderung',
      'x',
    ]
    expect(namesOf({ naming: 'snake_case' }, properties)).toEqual([
      'album_id',
      'html_body',
      'created_at',
      'line2',
      'address2_line',
      'already_snake',
      'größe_änderung',
      'x',
      'id',
    ])
  })

  test('a function decides, and a name of its own counts before it', () => {
    const Entity = declarativeBase({ naming: (property) => `c_${property}` }).entity('t', {
      id: integer('key').primaryKey(),
      name: text(),
    })
    expect(metaOf(Entity).table.columns.map(({ name }) => name)).toEqual(['key', 'c_name'])
    expect(namesOf({}, ['albumId'])).toEqual(['albumId', 'id'])
  })

  test('two properties that get one name, and names that are none, are refused', () => {
    expect(() => namesOf({ naming: 'snake_case' }, ['albumId', 'album_id'])).toThrow(MappingError)
    expect(() => namesOf({ naming: () => '' }, ['a'])).toThrow(MappingError)
    expect(() => namesOf({ naming: () => 7 as never }, ['a'])).toThrow(MappingError)
    expect(() => declarativeBase({ naming: 'snakecase' as never })).toThrow(/'snakecase'.*snake_case/)
    expect(() => declarativeBase({ naming: 7 as never })).toThrow(InvalidOptionError)
    expect(() => declarativeBase({ namign: 'snake_case' } as never)).toThrow(/naming/)
  })
})
