/** Values that cannot mean what they say are refused before anything is sent; documents go as deep as PostgreSQL takes them. */
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  declarativeBase,
  eq,
  integer,
  InvalidStatementError,
  InvalidValueError,
  json,
  jsonb,
  sql,
  update,
} from '../../src/index.js'
import { useEntities } from './entities-support.js'
import { errorOf } from './session-support.js'

const Base = declarativeBase()
class Doc extends Base.entity('docs', {
  id: integer().primaryKey(),
  doc: jsonb(),
  text: json(),
  docs: jsonb().array(),
}) {}

const fixture = useEntities(Base)

beforeEach(async () => {
  await fixture.db.query('truncate docs')
  await fixture.db.query('insert into docs select generate_series(1, 5)')
})

const count = async (): Promise<unknown> =>
  (await fixture.db.query('select count(*)::int as n from docs'))[0]?.['n']

const noData: [string, unknown][] = [
  ['a Set', new Set([1, 2, 3, 4, 5])],
  ['an empty Set', new Set()],
  ['a Map', new Map()],
  ['an iterator', [1].values()],
  [
    'a generator',
    (function* () {
      yield 1
    })(),
  ],
  ['a Blob', new Blob(['x'])],
  ['an error', new Error('x')],
  ['a pattern', /x/],
  ['a function', () => 1],
  ['a symbol', Symbol('x')],
  ['a WeakMap', new WeakMap()],
  ['a promise', Promise.resolve([1])],
]

describe.each(noData)('%s', (_what, value) => {
  test('is no parameter, wherever it stands', async () => {
    const { withSession } = fixture.factory()
    const refused = async (work: Parameters<typeof withSession>[0]): Promise<void> => {
      const error = await errorOf(withSession(work))
      expect(error).toBeInstanceOf(InvalidStatementError)
      expect(error.message).toMatch(/^Parameter \$\d cannot be sent: /)
    }
    await refused((session) => session.execute('delete from docs where not (id = any($1))', [value]))
    await refused((session) => session.execute('delete from docs where id <> all($2)', [1, [value]]))
    await refused((session) => session.execute(sql`delete from docs where id <> ${value}`))
    await refused((session) =>
      session.execute({ text: 'update docs set doc = $1', values: [{ a: [value] }] }),
    )
    await refused(async (session) => {
      for await (const row of session.stream('select $1::jsonb', [{ value }])) expect(row).toBeUndefined()
    })
    expect(await count()).toBe(5)
  })

  test('is no part of a document of an entity', async () => {
    const { withSession } = fixture.factory()
    for (const property of ['doc', 'text'] as const) {
      const added = await errorOf(
        withSession((session) => {
          session.add(new Doc({ id: 9, [property]: { tags: [value] } }))
        }),
      )
      expect(added).toBeInstanceOf(InvalidValueError)
      expect(added.message).toContain(`docs.${property} takes what JSON can express, not a`)
      expect(added.message).toContain('(at .tags[0])')
    }
    const changed = await errorOf(
      withSession(async (session) => {
        const doc = await session.getOne(Doc, 1)
        doc.docs = [1, { value }]
      }),
    )
    expect(changed).toBeInstanceOf(InvalidValueError)
    expect(() => update(Doc).set({ doc: { value } })).toThrow(InvalidValueError)
    expect(() => eq(Doc.c.doc, { value })).toThrow(InvalidValueError)
    expect(await count()).toBe(5)
  })
})

test('NaN, and what is not finite, is no part of a document', async () => {
  const { withSession } = fixture.factory()
  const error = await errorOf(
    withSession((session) => {
      session.add(new Doc({ id: 9, doc: { price: NaN } }))
    }),
  )
  expect(error.message).toContain(
    'docs.doc takes what JSON can express, not a number that is not finite (at .price)',
  )
  expect(await withSession((session) => session.scalar('select $1::float', [Infinity]))).toBe(Infinity)
})

test('a Set is no list of values', async () => {
  const { withSession } = fixture.factory()
  const values = new Set([1]) as unknown as unknown[]
  const error = await errorOf(withSession((session) => session.execute('delete from docs', values)))
  expect(error).toBeInstanceOf(InvalidStatementError)
  expect(await count()).toBe(5)
})

test('an ArrayBuffer is its bytes', async () => {
  const { withSession } = fixture.factory()
  const { buffer } = Uint8Array.of(1, 2, 3)
  const read = (value: unknown): Promise<unknown> =>
    withSession((session) => session.scalar("select encode($1::bytea, 'hex')", [value]))
  expect(await read(buffer)).toBe('010203')
  expect(await read(new DataView(buffer, 1))).toBe('0203')
})

test('a URL is its text', async () => {
  const { withSession } = fixture.factory()
  const url = new URL('https://example.org/')
  expect(await withSession((session) => session.scalar('select $1::text', [url]))).toBe(url.href)
})

describe('a document as deep as PostgreSQL takes it', () => {
  /** Arrays around the value, each with an object in it. How deep that may go depends on how the server was compiled. */
  let pairs = 0
  const textOf = (end: string): string => `${'[{"a":'.repeat(pairs)}${end}${'}]'.repeat(pairs)}`
  const documentOf = (end: unknown): unknown => {
    let document = end
    for (let pair = 0; pair < pairs; pair++) document = [{ a: document }]
    return document
  }

  beforeAll(async () => {
    const { withSession } = fixture.factory()
    const takes = (): Promise<boolean> =>
      withSession((session) =>
        session.scalar('select $1::jsonb = $1::text::jsonb', [`[[${textOf('1')}]]`]),
      ).then(
        () => true,
        () => false,
      )
    for (pairs = 8_000; !(await takes());) pairs = Math.floor(pairs * 0.9)
    expect(() => JSON.stringify(documentOf(1)), 'what V8 writes by itself').toThrow(RangeError)
  })

  /** The innermost value. */
  const endOf = (document: unknown): unknown => {
    let at = document
    while (Array.isArray(at)) at = (at[0] as { a: unknown }).a
    return at
  }
  const stored = async (column: string): Promise<unknown> => {
    const [row] = await fixture.db.query(
      `select replace(${column}::text, ' ', '') as text from docs where id = 9`,
    )
    return row?.['text']
  }

  test.each(['doc', 'text'] as const)(
    'is stored, loaded, found unchanged and changed: %s',
    async (property) => {
      const { withSession } = fixture.factory()
      await withSession((session) => session.add(new Doc({ id: 9, [property]: documentOf(1) })))
      expect(await stored(property)).toBe(textOf('1'))
      await withSession(async (session) => {
        const doc = await session.getOne(Doc, 9)
        expect(endOf(doc[property])).toBe(1)
        expect(session.isModified(doc)).toBe(false)
        let at = doc[property] as [{ a: never }]
        while (Array.isArray(at[0].a)) at = at[0].a
        at[0].a = 2 as never
        expect(session.isModified(doc)).toBe(true)
      })
      expect(await stored(property)).toBe(textOf('2'))
    },
  )

  test('is a parameter and a row of a plain statement', async () => {
    const { withSession } = fixture.factory()
    const read = await withSession((session) =>
      session.scalar<object>('select $1::jsonb', [{ doc: documentOf('x') }]),
    )
    expect(endOf((read as { doc: unknown }).doc)).toBe('x')
    expect(
      await withSession((session) =>
        session.scalar('select $1::jsonb[]', [[{ doc: documentOf('y') }]]).then(() => 'read'),
      ),
    ).toBe('read')
  })
})
