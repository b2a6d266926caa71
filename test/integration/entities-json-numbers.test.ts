/** Numbers in documents that JavaScript has no number for: the stored document stays until something in it changes, and Infinity is never written. */
import { beforeEach, expect, test } from 'vitest'
import { declarativeBase, integer, json, jsonb, sql } from '../../src/index.js'
import { errorOf, useDatabase } from './session-support.js'

interface Numbers {
  huge?: number | string
  exact: number
  more?: number
}

class Doc extends declarativeBase().entity('docs', {
  id: integer().primaryKey(),
  plays: integer(),
  binary: jsonb<Numbers>(),
  text: json<Numbers>(),
  list: jsonb<number>().array(),
}) {}

const fixture = useDatabase(
  'create table docs (id int primary key, plays int, "binary" jsonb, text json, list jsonb[])',
)
const DOCUMENT = '{"huge": -1e400, "exact": 9007199254740993.10}'
beforeEach(async () => {
  await fixture.db.query(
    `truncate docs; insert into docs values (1, 0, '${DOCUMENT}', '${DOCUMENT}', array['1e400', '9007199254740993']::jsonb[])`,
  )
})

const stored = async (): Promise<unknown> =>
  (await fixture.db.query('select "binary"::text, text::text, list::text from docs'))[0]

test('they are read as JSON.parse reads them, and stay as they are stored while other columns change', async () => {
  const before = await stored()
  await fixture.factory().withSession(async (session) => {
    const doc = await session.getOne(Doc, 1)
    expect(doc).toMatchObject({
      binary: { huge: -Infinity, exact: 2 ** 53 + 2 },
      text: { huge: -Infinity, exact: 2 ** 53 + 2 },
      list: [Infinity, 2 ** 53],
    })
    expect(session.dirty).toEqual([])
    doc.plays = 1
  })
  expect(await stored()).toEqual(before)
})

test.each<[string, (doc: Doc) => void]>([
  ['docs.binary', (doc) => void (doc.binary = { ...(doc.binary as Numbers), more: 1 })],
  ['docs.text', (doc) => void ((doc.text as Numbers).more = 1)],
  ['docs.list', (doc) => doc.list?.push(1)],
])('a change of %s is refused while Infinity is in it, and nothing is stored', async (column, change) => {
  const before = await stored()
  const error = await errorOf(
    fixture.factory().withSession(async (session) => {
      change(await session.getOne(Doc, 1))
    }),
  )
  expect(error).toMatchObject({ code: 'INVALID_VALUE' })
  expect(error.message).toContain(`${column} takes what JSON can express, not `)
  expect(error.message).toContain('which a stored number above 1.8e308 becomes when it is read')
  expect(await stored()).toEqual(before)
})

test('a smaller number or a string can take its place; the rest is written as it was read', async () => {
  await fixture.factory().withSession(async (session) => {
    const doc = await session.getOne(Doc, 1)
    ;(doc.binary as Numbers).huge = '-1e400'
    doc.list = [1e300, 2]
  })
  expect(
    await fixture
      .factory()
      .withSession((session) =>
        session.scalar(
          sql`select "binary" = '{"huge": "-1e400", "exact": 9007199254740994}' and list = array['1e300', '2']::jsonb[] from docs`,
        ),
      ),
  ).toBe(true)
})
