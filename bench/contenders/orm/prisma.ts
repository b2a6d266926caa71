/** Prisma on node-postgres, without its former engine in Rust, with its named statements. */
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { POOL_SIZE, type Open } from '../../harness/contender.js'
import { nextPlays, ormContender } from '../../harness/orm-workloads.js'

export const open: Open = async (connectionString) => {
  const names = new Map<string, string>()
  const statementNameGenerator = ({ sql }: { readonly sql: string }): string => {
    const name = names.get(sql) ?? `statement_${String(names.size)}`
    names.set(sql, name)
    return name
  }
  const adapter = new PrismaPg(
    { connectionString, max: POOL_SIZE, idleTimeoutMillis: 0 },
    { statementNameGenerator },
  )
  // Waiting for a connection is part of the work: by default it would give up after 2 s.
  const prisma = new PrismaClient({ adapter, transactionOptions: { maxWait: 60_000, timeout: 60_000 } })

  return ormContender(
    {
      insert: (data) =>
        prisma.$transaction(async (transaction) => (await transaction.song.create({ data })).id),
      insertMany: (data) =>
        prisma.$transaction(async (transaction) => {
          const songs = await transaction.song.createManyAndReturn({ data: [...data] })
          return songs.map(({ id }) => id)
        }),
      change: (ids) =>
        prisma.$transaction(async (transaction) => {
          const songs = await transaction.song.findMany({ where: { id: { in: [...ids] } } })
          for (const song of songs) {
            await transaction.song.update({ where: { id: song.id }, data: { plays: nextPlays(song) } })
          }
          return songs.length
        }),
      load: (after, count, use) =>
        prisma.$transaction(async (transaction) => {
          use(
            await transaction.song.findMany({
              where: { id: { gt: after } },
              orderBy: { id: 'asc' },
              take: count,
            }),
          )
        }),
      graph: ({ title, songs }) =>
        prisma.$transaction(async (transaction) => {
          const album = await transaction.album.create({
            data: { title, songs: { createMany: { data: [...songs] } } },
            include: { songs: { select: { id: true }, orderBy: { id: 'asc' } } },
          })
          return { id: album.id, songIds: album.songs.map(({ id }) => id) }
        }),
      close: () => prisma.$disconnect(),
    },
    connectionString,
  )
}
