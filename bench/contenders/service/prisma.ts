/** Prisma on node-postgres, without its former engine in Rust, with its named statements. */
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../generated/prisma/client.js'
import { changed, SERVICE_POOL_SIZE, type OpenService, type World } from '../../harness/service-work.js'

export const open: OpenService = (connectionString) => {
  const names = new Map<string, string>()
  const statementNameGenerator = ({ sql }: { readonly sql: string }): string => {
    const name = names.get(sql) ?? `statement_${String(names.size)}`
    names.set(sql, name)
    return name
  }
  const adapter = new PrismaPg(
    { connectionString, max: SERVICE_POOL_SIZE, idleTimeoutMillis: 0 },
    { statementNameGenerator },
  )
  // Waiting for a connection is part of the work: by default it would give up after 2 s.
  const prisma = new PrismaClient({ adapter, transactionOptions: { maxWait: 60_000, timeout: 60_000 } })
  // `findUnique` would put the queries of one tick into one statement, which is not the work that is measured.
  const worldOf = (on: Pick<PrismaClient, 'world'>, id: number): Promise<World | null> =>
    on.world.findFirst({ where: { id } })

  return {
    single: (id) => worldOf(prisma, id),
    many: (ids) => Promise.all(ids.map((id) => worldOf(prisma, id))),
    fortunes: () => prisma.fortune.findMany(),
    update: (ids) =>
      prisma.$transaction(async (transaction) => {
        const read: (World | undefined)[] = []
        for (const id of ids) read.push((await worldOf(transaction, id)) ?? undefined)
        const worlds = changed(read)
        for (const { id, randomNumber } of worlds)
          await transaction.world.update({ where: { id }, data: { randomNumber } })
        return worlds
      }),
    close: () => prisma.$disconnect(),
  }
}
