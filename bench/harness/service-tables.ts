/** The tables of `service.ts`, and the check that a service answers with what is in them. */
import { deepStrictEqual, strictEqual } from 'node:assert/strict'
import { query } from '../../test/helpers/databases.js'
import { ADDED_FORTUNE, escaped, ROUTES } from './service-app.js'
import { TIMES, WORLDS, type Fortune, type World } from './service-work.js'

const FORTUNES = [
  'fortune: No such file or directory',
  "A computer scientist is someone who fixes things that aren't broken.",
  'After enough decimal places, nobody gives a damn.',
  'A bad random number generator: 1, 1, 1, 1, 1, 4.33e+67, 1, 1, 1',
  'A computer program does what you tell it to do, not what you want it to do.',
  'Emacs is a nice operating system, but I prefer UNIX.',
  'Any program that runs right is obsolete.',
  'A list is only as strong as its weakest link.',
  'Feature: A bug with seniority.',
  'Computers make very fast, very accurate mistakes.',
  '<script>alert("This should not be displayed in a browser alert box.");</script>',
  'フレームワークのベンチマーク',
]

export async function createServiceTables(url: string): Promise<void> {
  // Space for the updates, so that the rows stay on their pages.
  await query(
    url,
    'CREATE TABLE world (id integer PRIMARY KEY, random_number integer NOT NULL) WITH (fillfactor = 50)',
  )
  await query(
    url,
    `INSERT INTO world SELECT id, 1 + (id * 7919) % ${String(WORLDS)} FROM generate_series(1, ${String(WORLDS)}) AS id`,
  )
  await query(url, 'CREATE TABLE fortune (id integer PRIMARY KEY, message text NOT NULL)')
  await query(
    url,
    'INSERT INTO fortune SELECT number, message FROM unnest($1::text[]) WITH ORDINALITY AS one (message, number)',
    [FORTUNES],
  )
  await query(url, 'VACUUM ANALYZE world, fortune')
}

/** Removes the old versions of rows that updates left behind. */
export async function tidyServiceTables(url: string): Promise<void> {
  await query(url, 'VACUUM world')
}

/** Asks each route once. @throws AssertionError If an answer is not what the database has. */
export async function checkService(port: number, url: string): Promise<void> {
  const answerOf = async (path: string): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${String(port)}${path}`)
    const text = await response.text()
    strictEqual(response.status, 200, text)
    return text
  }
  const stored = async (): Promise<ReadonlyMap<number, number>> => {
    const rows = await query<World & Record<string, unknown>>(
      url,
      'SELECT id, random_number AS "randomNumber" FROM world',
    )
    return new Map(rows.map(({ id, randomNumber }) => [id, randomNumber]))
  }
  const before = await stored()
  const single = JSON.parse(await answerOf(ROUTES.single)) as World
  deepStrictEqual(single, { id: single.id, randomNumber: before.get(single.id) })

  const many = JSON.parse(await answerOf(ROUTES.queries)) as World[]
  strictEqual(new Set(many.map(({ id }) => id)).size, TIMES)
  for (const world of many) deepStrictEqual(world, { id: world.id, randomNumber: before.get(world.id) })

  const updated = JSON.parse(await answerOf(ROUTES.updates)) as World[]
  strictEqual(new Set(updated.map(({ id }) => id)).size, TIMES)
  const expected = new Map(before)
  for (const { id, randomNumber } of updated) {
    strictEqual(randomNumber === before.get(id), false, `World ${String(id)} has the number that it had`)
    expected.set(id, randomNumber)
  }
  deepStrictEqual(await stored(), expected)

  const fortunes = await query<Fortune & Record<string, unknown>>(url, 'SELECT id, message FROM fortune')
  const rows = [...fortunes, { id: 0, message: ADDED_FORTUNE }]
    .sort((one, other) => (one.message < other.message ? -1 : 1))
    .map(({ id, message }) => `<tr><td>${String(id)}</td><td>${escaped(message)}</td></tr>`)
  strictEqual(/<tr><td>.*<\/tr>/.exec(await answerOf(ROUTES.fortunes))?.[0], rows.join(''))
}
