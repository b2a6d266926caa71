// What a user's ESM project compiles, with declarations of its own.
import { LifeguardError, createEngine, createSessionFactory } from 'lifeguard'

export const engine = createEngine({ url: 'postgresql://localhost/songs', poolSize: 2 })
export const sessionFactory = createSessionFactory({ bind: engine })
export const { withSession } = sessionFactory

export async function count(): Promise<number> {
  return withSession(async (session) => {
    const result = await session.execute<{ count: number }>('SELECT count(*)::int AS count FROM songs')
    return result.one().count
  })
}

export function isPoolTimeout(error: unknown): boolean {
  return error instanceof LifeguardError && error.code === 'POOL_TIMEOUT'
}
