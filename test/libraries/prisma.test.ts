/** Prisma with `@prisma/adapter-pg`: create, find, nested writes, batches, interactive transactions. */
import { PrismaPg } from '@prisma/adapter-pg'
import { poolFrom, type Pool } from 'lifeguard/pg-pool'
import { expect, test } from 'vitest'
import { checkLibrary } from './checks.js'
import { PrismaClient } from './node_modules/.prisma-music/client.js'

const on = (pool: Pool): PrismaClient => new PrismaClient({ adapter: new PrismaPg(pool), log: [] })

const fixture = checkLibrary('Prisma', {
  schema: [
    'create table artists (id serial primary key, name text not null unique)',
    'create table songs (id serial primary key, title text not null, plays int not null default 0, artist_id int references artists)',
  ],
  open: (pool) => {
    const prisma = on(pool)
    return {
      table: 'songs',
      job: () => prisma.song.create({ data: { title: 'Help!' } }),
      failures: {
        'a wrong query': () => prisma.$queryRaw`select 1 / 0`,
        'a violated constraint': () => prisma.song.create({ data: { title: 'x', artistId: -1 } }),
        'a failing transaction': () =>
          prisma.$transaction([
            prisma.song.create({ data: { title: 'x' } }),
            prisma.$queryRaw`select nothing`,
          ]),
      },
      transaction: (during) =>
        prisma.$transaction(
          async (tx) => {
            await tx.song.create({ data: { title: 'in' } })
            await during()
            await tx.song.create({ data: { title: 'in' } })
          },
          { timeout: 30_000 },
        ),
      close: () => prisma.$disconnect(),
    }
  },
})

test('Prisma stores nested writes, and reads relations, aggregates and raw rows', async () => {
  const prisma = on(poolFrom(fixture.engine()))
  const { id } = await prisma.artist.create({
    data: {
      name: 'Abba',
      songs: {
        create: [
          { title: 'Waterloo', plays: 1 },
          { title: 'Fernando', plays: 3 },
        ],
      },
    },
  })
  const found = await prisma.artist.findUnique({
    where: { id },
    include: { songs: { orderBy: { title: 'asc' } } },
  })
  expect(found?.songs.map(({ title }) => title)).toEqual(['Fernando', 'Waterloo'])
  expect(await prisma.song.aggregate({ where: { artistId: id }, _sum: { plays: true } })).toEqual({
    _sum: { plays: 4 },
  })
  expect(await prisma.$queryRaw`select count(*)::int as count from songs where artist_id = ${id}`).toEqual([
    { count: 2 },
  ])
  await prisma.artist.upsert({ where: { name: 'Abba' }, create: { name: 'Abba' }, update: { name: 'ABBA' } })
  expect(await prisma.artist.count({ where: { name: 'ABBA' } })).toBe(1)
  await prisma.$disconnect()
})

test('interactive transactions of Prisma are isolated, and stored as a whole or not at all', async () => {
  const prisma = on(poolFrom(fixture.engine({ poolSize: 1, maxOverflow: 0 })))
  const isolation = await prisma.$transaction(
    async (tx) => {
      await tx.song.create({ data: { title: 'kept' } })
      return await tx.$queryRaw`show transaction_isolation`
    },
    { isolationLevel: 'Serializable' },
  )
  expect(isolation).toEqual([{ transaction_isolation: 'serializable' }])
  const failing = prisma.$transaction(async (tx) => {
    await tx.song.create({ data: { title: 'undone' } })
    await tx.song.create({ data: { title: 'x', artistId: -1 } })
  })
  await expect(failing).rejects.toMatchObject({ code: 'P2003' })
  expect(await prisma.song.count({ where: { title: 'kept' } })).toBe(1)
  expect(await prisma.song.count({ where: { title: 'undone' } })).toBe(0)
  await prisma.$disconnect()
})
