/** Instances are plain objects, wherever they come from and whatever becomes of them. */
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import {
  ExpiredAttributeError,
  MappingError,
  declarativeBase,
  eq,
  integer,
  select,
  serial,
  text,
  type EntityHooks,
} from '../../src/index.js'
import { waitUntil } from '../helpers/wait-until.js'
import { Song, useEntities } from './entities-support.js'
import { errorOf, type Fixture } from './session-support.js'

const fixture = useEntities()

/** One that was made, flushed and kept, and one that was loaded. */
async function songs(from: Fixture = fixture): Promise<{ made: Song; loaded: Song }> {
  const factory = from.factory()
  const made = new Song({
    title: 'Carey',
    plays: 1001,
    settings: { tags: ['a'] },
    heardAt: new Date('2026-01-31T12:00:00Z'),
  })
  await factory.withSession((session) => session.add(made))
  const loaded = await factory.withSession((session) => session.getOne(Song, made.id))
  return { made, loaded }
}

const VALUES = {
  id: 1,
  title: 'Carey',
  plays: 1001,
  albumId: null,
  settings: { tags: ['a'] },
  heardAt: new Date('2026-01-31T12:00:00Z'),
}

describe('an instance, made or loaded,', () => {
  test('spreads, compares, clones and becomes JSON as its columns do, in their order', async () => {
    const { made, loaded } = await songs()
    for (const song of [made, loaded]) {
      expect({ ...song }).toEqual(VALUES)
      expect(Object.keys(song)).toEqual(Object.keys(VALUES))
      expect(JSON.stringify(song)).toBe(JSON.stringify(VALUES))
      expect(structuredClone({ ...song })).toEqual(VALUES)
      expect(Object.assign({}, song)).toEqual(VALUES)
      expect(Reflect.ownKeys(song)).toEqual(Object.keys(VALUES))
    }
    expect(made).toEqual(loaded)
    expect(made).toStrictEqual(loaded)
  })

  test('has the methods and getters of its class, which its copy has not', async () => {
    const { made, loaded } = await songs()
    for (const song of [made, loaded]) {
      expect(song).toBeInstanceOf(Song)
      expect(song.constructor).toBe(Song)
      expect([song.popular, song.hear().plays]).toEqual([true, 1002])
      expect('popular' in { ...song }).toBe(false)
    }
  })

  test('is readable on the console, expired or not', async () => {
    const { loaded } = await songs()
    expect(inspect(loaded)).toBe(
      "Song {\n  id: 1,\n  title: 'Carey',\n  plays: 1001,\n  albumId: null,\n  settings: { tags: [ 'a' ] },\n" +
        '  heardAt: 2026-01-31T12:00:00.000Z\n}',
    )
    await using session = fixture.factory()()
    session.add(loaded)
    session.expire(loaded, ['title', 'settings'])
    const text = inspect(loaded)
    expect(text).toMatch(/^Song \{\n {2}id: 1,\n {2}title: /)
    expect(text).not.toContain('Carey')
    expect(() => JSON.stringify(loaded)).toThrow(ExpiredAttributeError)
    expect(() => ({ ...loaded })).toThrow(/Song.title has expired/)
    loaded.title = 'set'
    expect(inspect(loaded)).toContain("title: 'set'")
    expect(Object.getOwnPropertyDescriptor(loaded, 'title')).toEqual({
      value: 'set',
      writable: true,
      enumerable: true,
      configurable: true,
    })
  })

  test('takes properties of its own, which no flush minds', async () => {
    const { made } = await songs()
    await using session = fixture.factory()()
    session.add(made)
    Object.assign(made, { selected: true, self: made })
    expect([session.isModified(made), session.dirty]).toEqual([false, []])
    made.title = 'River'
    await session.commit()
    expect(made).toMatchObject({ selected: true })
  })

  test('may be frozen to be read, and is then never changed', async () => {
    const { loaded } = await songs()
    await using session = fixture.factory()()
    const frozen = Object.freeze(loaded)
    session.add(frozen)
    await session.commit()
    expect(session.dirty).toEqual([])
  })

  test('that was frozen keeps its values where others expire', async () => {
    await using session = fixture.factory({}, { expireOnCommit: true })()
    const [stored, undone] = [new Song({ title: 'Carey' }), new Song({ title: 'River' })]
    session.add(stored)
    await session.flush()
    Object.freeze(stored)
    await session.commit()
    session.add(undone)
    await session.flush()
    Object.freeze(undone)
    await session.rollback()
    expect([stored.title, undone.title]).toEqual(['Carey', 'River'])
    expect([session.contains(stored), session.contains(undone)]).toEqual([true, false])
  })

  test('is garbage once its session has gone', async () => {
    const factory = fixture.factory()
    await songs()
    const reference = await factory.withSession(async (session) => new WeakRef(await session.getOne(Song, 1)))
    await waitUntil(() => {
      globalThis.gc?.()
      return reference.deref() === undefined
    })
  })
})

describe('classes', () => {
  const Base = declarativeBase()
  const loads: string[] = []
  class Animal extends Base.entity('animals', {
    id: serial().primaryKey(),
    name: text().notNull(),
    legs: integer().default(4),
  }) {
    static readonly hooks: EntityHooks<Animal> = { afterLoad: (animal) => void loads.push(animal.name) }
    readonly cry: string = 'none'
    #secret = 'private'

    constructor(values: { name: string; legs?: number }) {
      super(values)
      if (values.name === '') throw new RangeError('an animal needs a name')
    }

    get secret(): string {
      return this.#secret
    }
  }
  class Beast extends Base.entity('beasts', { id: serial().primaryKey(), name: text().notNull() }) {}
  class Tame extends Beast {
    get tame(): boolean {
      return true
    }
  }
  const Plain = Base.entity('plains', { id: serial().primaryKey() })
  const inner = useEntities(Base)

  test('may have constructors of their own, which do not run when rows are loaded', async () => {
    const factory = inner.factory()
    const animal = new Animal({ name: 'Tom' })
    expect([animal.legs, animal.cry, animal.secret]).toEqual([4, 'none', 'private'])
    await factory.withSession((session) => session.add(animal))
    expect(loads).toEqual([])
    const loaded = await factory.withSession((session) => session.getOne(Animal, animal.id))
    expect([loaded.name, loaded.cry, loads]).toEqual(['Tom', undefined, ['Tom']])
    expect(() => loaded.secret).toThrow(TypeError)
  })

  test('of one table are two views of it: an instance is of the class that loaded it first', async () => {
    await inner.db.query("insert into beasts (name) values ('Rex')")
    const factory = inner.factory()
    await factory.withSession(async (session) => {
      const tame = await session.getOne(Tame, 1)
      expect(tame).toBeInstanceOf(Tame)
      expect(tame.tame).toBe(true)
      expect(await session.scalar(select(Beast).where(eq(Beast.c.id, 1)))).toBe(tame)
    })
    await factory.withSession(async (session) => {
      expect(await session.getOne(Beast, 1)).not.toBeInstanceOf(Tame)
    })
  })

  test('are not needed: what Base.entity gives serves as it is', async () => {
    await using session = inner.factory()()
    const plain = new Plain()
    session.add(plain)
    await session.flush()
    expect({ ...plain }).toEqual({ id: 1 })
    expect(inspect(plain)).toBe('plains { id: 1 }')
  })

  test('that are no entities are refused', async () => {
    await using session = inner.factory()()
    class Nothing {}
    expect((await errorOf(session.get(Nothing as never, 1 as never))).message).toContain('Not an entity')
    expect(() => session.add(new Nothing())).toThrow(MappingError)
  })
})
