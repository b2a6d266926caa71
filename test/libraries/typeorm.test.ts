/** TypeORM with `driver`: migrations, save, transactions, query builder, streams. */
import 'reflect-metadata'
import { poolFrom, type Pool } from 'lifeguard/pg-pool'
import { DataSource, EntitySchema, type MigrationInterface, type QueryRunner } from 'typeorm'
import { expect, test } from 'vitest'
import type { EngineOptions } from '../../src/engine/options.js'
import { checkLibrary } from './checks.js'

interface Artist {
  id: number
  name: string
  songs: Song[]
}

interface Song {
  id: number
  title: string
  plays: number
  artist: Artist | null
}

const artists = new EntitySchema<Artist>({
  name: 'artist',
  tableName: 'artists',
  columns: { id: { type: Number, primary: true, generated: true }, name: { type: String, unique: true } },
  relations: { songs: { type: 'one-to-many', target: 'song', inverseSide: 'artist', cascade: true } },
})

const songs = new EntitySchema<Song>({
  name: 'song',
  tableName: 'songs',
  columns: {
    id: { type: Number, primary: true, generated: true },
    title: { type: String },
    plays: { type: Number, default: 0 },
  },
  relations: {
    artist: { type: 'many-to-one', target: 'artist', inverseSide: 'songs', nullable: true, joinColumn: true },
  },
})

class CreateMusic1700000000001 implements MigrationInterface {
  name = 'CreateMusic1700000000001'

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('create table migrated (id int)')
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table migrated')
  }
}

class Fails1700000000002 implements MigrationInterface {
  name = 'Fails1700000000002'

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('insert into migrated values (1)')
    await runner.query('select nothing')
  }

  down(): Promise<void> {
    return Promise.resolve()
  }
}

function on(
  pool: Pool,
  migrations: NonNullable<ConstructorParameters<typeof DataSource>[0]['migrations']> = [],
): Promise<DataSource> {
  const driver = {
    Pool: class {
      constructor() {
        return pool
      }
    },
  }
  return new DataSource({
    type: 'postgres',
    driver,
    entities: [artists, songs],
    migrations,
    logging: false,
  }).initialize()
}

const fixture = checkLibrary('TypeORM', {
  schema: [
    'create table artists (id serial primary key, name text not null unique)',
    'create table songs (id serial primary key, title text not null, plays int not null default 0, "artistId" int references artists)',
  ],
  open: async (pool) => {
    const source = await on(pool)
    return {
      table: 'songs',
      job: () => source.getRepository(songs).save({ title: 'Help!' }),
      failures: {
        'a wrong query': () => source.query('select 1 / 0'),
        'a violated constraint': () => source.getRepository(songs).insert({ title: null as never }),
        'a failing transaction': () => source.transaction((manager) => manager.query('select nothing')),
        'a stream that fails': async () => {
          const runner = source.createQueryRunner()
          const stream = await runner.stream('select 1 / (3 - i) from generate_series(1, 5) i')
          await stream.toArray().finally(() => runner.release())
        },
      },
      transaction: (during) =>
        source.transaction(async (manager) => {
          await manager.insert(songs, { title: 'in' })
          await during()
          await manager.insert(songs, { title: 'in' })
        }),
      close: () => source.destroy(),
    }
  },
})

function opened(options?: EngineOptions, migrations?: Parameters<typeof on>[1]): Promise<DataSource> {
  return on(poolFrom(fixture.engine(options)), migrations)
}

test('TypeORM saves graphs, loads relations, and builds queries', async () => {
  const source = await opened()
  const saved = await source
    .getRepository(artists)
    .save({ name: 'Abba', songs: [{ title: 'Waterloo' }, { title: 'Fernando', plays: 3 }] })
  const found = await source
    .getRepository(artists)
    .findOneOrFail({ where: { id: saved.id }, relations: { songs: true } })
  expect(found.songs.map(({ title }) => title).toSorted()).toEqual(['Fernando', 'Waterloo'])
  const { sum } = (await source
    .createQueryBuilder(songs, 'song')
    .innerJoin('song.artist', 'artist')
    .where('artist.name = :name', { name: 'Abba' })
    .select('sum(song.plays)', 'sum')
    .getRawOne<{ sum: string }>()) ?? { sum: '' }
  expect(sum).toBe('3')
  await source.destroy()
})

test('TypeORM nests transactions as savepoints', async () => {
  const source = await opened({ poolSize: 1, maxOverflow: 0 })
  await source.getRepository(songs).deleteAll()
  await source.transaction('SERIALIZABLE', async (manager) => {
    await manager.insert(songs, { title: 'outer' })
    const inner = manager.transaction(async (nested) => {
      await nested.insert(songs, { title: 'inner' })
      throw new Error('no')
    })
    await inner.catch(() => undefined)
  })
  expect((await source.getRepository(songs).find()).map(({ title }) => title)).toEqual(['outer'])
  await source.destroy()
})

test('TypeORM streams rows, and returns the connection of a stream that is left early', async () => {
  const source = await opened({ poolSize: 1, maxOverflow: 0 })
  for (const last of [5000, 3]) {
    const runner = source.createQueryRunner()
    let count = 0
    for await (const row of await runner.stream('select i from generate_series(1, 5000) i')) {
      void row
      if (++count === last) break
    }
    expect(count).toBe(last)
    await runner.release()
  }
  expect(await source.query('select 1 as one')).toEqual([{ one: 1 }])
  await source.destroy()
})

test('TypeORM migrates, undoes a failing migration, and reverts', async () => {
  const source = await opened({}, [CreateMusic1700000000001])
  expect(await source.runMigrations()).toHaveLength(1)
  await source.destroy()
  const failing = await opened({}, [CreateMusic1700000000001, Fails1700000000002])
  await expect(failing.runMigrations()).rejects.toMatchObject({ code: '42703' })
  expect(await failing.query('select * from migrated')).toEqual([])
  await failing.undoLastMigration()
  expect(await failing.query("select to_regclass('migrated') as there")).toEqual([{ there: null }])
  await failing.destroy()
})
