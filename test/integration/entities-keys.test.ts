/** Keys that change: PostgreSQL hands them on to the rows that refer to them (ON UPDATE CASCADE), and so do the objects. */
import { describe, expect, test } from 'vitest'
import {
  belongsTo,
  declarativeBase,
  hasMany,
  manyToMany,
  integer,
  text,
  version,
  type WithRelations,
} from '../../src/index.js'
import { statusOf, useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
const cascade = { onUpdate: 'cascade' } as const
class Country extends Base.entity('countries', { code: text().primaryKey(), name: text() }) {
  static readonly relations = { people: hasMany(() => Person, 'country') }
}
/** Its key contains that of its country. */
class City extends Base.entity('cities', {
  country: text().primaryKey().references('countries.code', cascade),
  name: text().primaryKey(),
  size: integer(),
  version: version(),
}) {}
/** Two steps away. */
class Street extends Base.entity(
  'streets',
  { id: integer().primaryKey(), country: text().notNull(), city: text().notNull(), name: text() },
  {
    foreignKeys: [
      { columns: ['country', 'city'], references: ['cities.country', 'cities.name'], ...cascade },
    ],
  },
) {}
class Person extends Base.entity('people', {
  id: integer().primaryKey(),
  country: text().references('countries.code', cascade),
}) {}
class Visit extends Base.entity('visits', {
  id: integer().primaryKey(),
  country: text().references('countries.code', { onUpdate: 'set null' }),
}) {
  static readonly relations = { to: belongsTo(() => Country, 'country') }
}
class Language extends Base.entity('languages', { code: text().primaryKey() }) {
  static readonly relations = { spokenIn: manyToMany(() => Country, 'spoken') }
}
Base.entity('spoken', {
  language: text().primaryKey().references('languages.code', cascade),
  country: text().primaryKey().references('countries.code', cascade),
})

const fixture = useEntities(Base)

async function stored() {
  const session = fixture.factory()()
  const country = new Country({ code: 'gb', name: 'Scotland' }) as WithRelations<typeof Country>
  const city = new City({ country: 'gb', name: 'Glasgow' })
  const street = new Street({ id: 1, country: 'gb', city: 'Glasgow', name: 'Byres Road' })
  const person = new Person({ id: 1, country: 'gb' })
  session.addAll([country, city, street, person])
  await session.commit()
  return { session, country, city, street, person }
}

const cities = () => fixture.db.query('select country, name, size, version from cities order by name')

describe('a key that has changed', () => {
  test('is that of the loaded objects that refer to it, and of those that refer to these', async () => {
    const { session, country, city, street, person } = await stored()
    await using _ = session
    country.code = 'sc'
    await session.flush()
    expect([city.country, street.country, person.country]).toEqual(['sc', 'sc', 'sc'])
    expect(session.dirty).toEqual([])
    expect(await session.get(City, { country: 'sc', name: 'Glasgow' })).toBe(city)
    expect(await session.get(City, { country: 'gb', name: 'Glasgow' })).toBeNull()
    city.size = 600
    street.name = 'Great Western Road'
    person.country = null
    await session.commit()
    expect(await cities()).toEqual([{ country: 'sc', name: 'Glasgow', size: 600, version: 2 }])
    expect(await fixture.db.query('select country, name from streets')).toEqual([
      { country: 'sc', name: 'Great Western Road' },
    ])
  })

  test('is taken from what says set null, and so is what that had loaded', async () => {
    const { session, country } = await stored()
    await using _ = session
    session.add(new Visit({ id: 1, country: 'gb' }))
    await session.flush()
    const visit = await session.getOne(Visit, 1, { load: ['to'] })
    expect(visit.to).toBe(country)
    country.code = 'sc'
    await session.flush()
    expect(visit.country).toBeNull()
    expect(() => visit.to).toThrow('neither loaded nor assigned')
    expect(session.dirty).toEqual([])
    await session.rollback()
    await session.refresh(country)
    expect(country.code).toBe('gb')
  })

  test('is followed by what changes, or goes, in the same flush', async () => {
    const { session, country, city, street } = await stored()
    await using _ = session
    country.code = 'sc'
    city.size = 600
    session.delete(street)
    await session.commit()
    expect([city.country, statusOf(street)]).toEqual(['sc', 'detached'])
    expect(await cities()).toEqual([{ country: 'sc', name: 'Glasgow', size: 600, version: 2 }])
    country.code = 'uk'
    session.delete(city)
    await session.commit()
    expect(await cities()).toEqual([])
  })

  test('leaves alone a foreign key that was set since', async () => {
    const { session, country, city, person } = await stored()
    await using _ = session
    session.add(new Country({ code: 'fr' }))
    country.code = 'sc'
    person.country = 'fr'
    city.country = 'sc'
    await session.commit()
    expect([person.country, city.country]).toEqual(['fr', 'sc'])
    expect(await fixture.db.query('select country from people')).toEqual([{ country: 'fr' }])
    expect(await cities()).toMatchObject([{ country: 'sc' }])
    city.size = 1
    await session.commit()
    expect(await cities()).toMatchObject([{ country: 'sc', size: 1 }])
  })

  test('goes on to objects whose values have expired, and keeps these expired', async () => {
    const { session, country, city } = await stored()
    await using _ = session
    session.expire(city)
    country.code = 'sc'
    await session.flush()
    expect(() => city.size).toThrow('has expired')
    await session.refresh(city)
    expect(city).toMatchObject({ country: 'sc', name: 'Glasgow' })
  })

  test('is rolled back with its transaction or savepoint, in all objects', async () => {
    const { session, country, city, person } = await stored()
    await using _ = session
    const change = async (): Promise<never> => {
      country.code = 'sc'
      await session.flush()
      expect(city.country).toBe('sc')
      throw new Error('undo')
    }
    await errorOf(session.beginNested(change))
    for (const each of [country, city, person]) await session.refresh(each)
    expect([country.code, city.country, person.country]).toEqual(['gb', 'gb', 'gb'])
    expect(await session.get(City, { country: 'gb', name: 'Glasgow' })).toBe(city)
    await errorOf(change())
    await session.rollback()
    await session.refresh(city)
    expect(await session.get(City, { country: 'gb', name: 'Glasgow' })).toBe(city)
    expect(city.country).toBe('gb')
  })

  test('is found by what is taken out of relations in the same flush', async () => {
    const { session, country, person } = await stored()
    await using _ = session
    const [scots, gaelic] = [new Language({ code: 'sco' }), new Language({ code: 'gd' })].map(
      (language) => language as WithRelations<typeof Language>,
    ) as [WithRelations<typeof Language>, WithRelations<typeof Language>]
    scots.spokenIn = [country]
    gaelic.spokenIn = [country]
    session.addAll([scots, gaelic])
    country.people = [person]
    await session.commit()
    country.code = 'sc'
    country.people = []
    scots.spokenIn = []
    await session.commit()
    expect(person.country).toBeNull()
    expect(await fixture.db.query('select country from people')).toEqual([{ country: null }])
    expect(await fixture.db.query('select * from spoken')).toEqual([{ language: 'gd', country: 'sc' }])
    gaelic.code = 'gla'
    session.delete(gaelic)
    await session.commit()
    expect(await fixture.db.query('select * from spoken')).toEqual([])
  })

  test('moves nothing where the values could not be written', async () => {
    const { session, country, city } = await stored()
    await using _ = session
    country.code = 'sc'
    Object.assign(city, { size: 'large' })
    expect((await errorOf(session.flush())).message).toContain('size')
    expect(city.country).toBe('gb')
  })
})
