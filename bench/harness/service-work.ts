/** What the contenders of `service.ts` do behind the same routes, after the kinds of test of the TechEmpower Framework Benchmarks. */

/** A row of `world`. */
export interface World {
  readonly id: number
  readonly randomNumber: number
}

/** A row of `fortune`. */
export interface Fortune {
  readonly id: number
  readonly message: string
}

export interface ServiceWork {
  /** One SELECT by primary key. */
  single(id: number): Promise<World | null | undefined>
  /** One SELECT by primary key for each id: 20 statements, not one for all. */
  many(ids: readonly number[]): Promise<readonly (World | null | undefined)[]>
  /** All fortunes, in any order. */
  fortunes(): Promise<readonly Fortune[]>
  /**
   * In one transaction: one SELECT for each id, then the new numbers are saved, in one statement if the library has such. Resolves to the rows as
   * they are stored then.
   *
   * @param ids Different ones, in order, so that two transactions do not deadlock.
   */
  update(ids: readonly number[]): Promise<readonly World[]>
  close(): Promise<unknown>
}

/** What a contender's module exports. */
export type OpenService = (url: string, variant: string | undefined) => ServiceWork

/** How many connections each service may keep. */
export const SERVICE_POOL_SIZE = 10

export const WORLDS = 10_000
/** Queries or updates of one request. */
export const TIMES = 20

export const SELECT_WORLD = 'SELECT id, random_number AS "randomNumber" FROM world WHERE id = $1'
export const SELECT_FORTUNES = 'SELECT id, message FROM fortune'
export const UPDATE_WORLDS = `UPDATE world SET random_number = changed.random_number
  FROM unnest($1::int[], $2::int[]) AS changed (id, random_number) WHERE world.id = changed.id`

/** A number that the row does not have. */
export function nextNumber({ randomNumber }: World): number {
  return 1 + ((randomNumber + Math.floor(Math.random() * (WORLDS - 1))) % WORLDS)
}

export function changed(worlds: readonly (World | undefined)[]): World[] {
  return worlds.map((world) => {
    if (world === undefined) throw new Error('A row of world is missing')
    return { id: world.id, randomNumber: nextNumber(world) }
  })
}
