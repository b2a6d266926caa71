/** `hideParameters`: nothing that was sent is shown by what comes back. */
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { createSessionFactory } from '../../src/session/session-factory.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase(
  'create table people (id int primary key, name text, born date)',
  `create function refuse(text) returns text language plpgsql as
   $$ begin raise exception 'not %', $1 using hint = 'never ' || $1, detail = $1; end $$`,
  `create function late() returns trigger language plpgsql as
   $$ begin raise exception 'at the end: %', new.name; end $$`,
  'create table late (name text)',
  'create constraint trigger late after insert on late deferrable initially deferred for each row execute function late()',
)

const shown = (error: unknown): string =>
  inspect(error, { depth: 9, showHidden: true }) + JSON.stringify(error)

describe('an error of the server with hideParameters', () => {
  test.each([
    ['a search text', 'select to_tsvector($1) @@ $2::tsquery', ['a', 's3cret & & ann']],
    ['a name, folded', 'select $1::regclass', ['S3cret']],
    ['a qualified name', 'select $1::regclass', ['s3cret.table']],
    ['a type', 'select $1::regtype', ['s3cret']],
    ['the name of a setting', 'select set_config($1, $1, true)', ['s3cret']],
    ['a number', 'select $1::int', ['s3cret']],
    ['one element of an array', 'select $1::int[]', [['1', 's3cret']]],
    ['a text of PL/pgSQL', 'select refuse($1)', ['s3cret']],
    ['a name in dynamic SQL', "select query_to_xml('select ' || $1, true, true, '')", ['s3cret']],
    ['a part of a name', 'select $1::regclass', [`public.s3cret_${'x'.repeat(80)}`]],
    ['a role', "select set_config('role', $1, true)", ['s3cret']],
    ['a search configuration', "select to_tsvector($1::regconfig, 'a')", ['s3cret']],
    ['bytes', 'select convert_from($1, $2)', [Buffer.from('s3cret'), 's3cret']],
  ])('does not show %s', async (_what, text, values) => {
    const { withSession } = fixture.factory({ hideParameters: true })
    const error = await errorOf(withSession((session) => session.execute(text, values)))
    expect(shown(error).toLowerCase()).not.toContain('s3cret')
    expect(error.message).toContain('(hidden)')
  })

  test.each([
    ['a part of a document', 'select $1::jsonb', ['{"a": s3cret}']],
    ['a long document that is cut off', 'select $1::jsonb', [`{"a": "${'x'.repeat(90)} s3cret" "b"}`]],
    ['a pattern', "select 'a' ~ $1", ['s3cret(']],
  ])('does not show %s, which is not in its message', async (_what, text, values) => {
    const { withSession } = fixture.factory({ hideParameters: true })
    const error = await errorOf(withSession((session) => session.execute(text, values)))
    expect(shown(error)).not.toContain('s3cret')
  })

  test('hides short values where they are words of their own', async () => {
    const { withSession } = fixture.factory({ hideParameters: true })
    const error = await errorOf(withSession((session) => session.execute('select refuse($1)', ['7'])))
    expect(error).toMatchObject({ message: 'not (hidden)', hint: 'never (hidden)' })
    const table = await errorOf(
      withSession((session) => session.execute('select $1::int from table7', ['7'])),
    )
    expect(table.message).toBe('relation "table7" does not exist')
  })

  test('keeps the names of the statement', async () => {
    const { withSession } = fixture.factory({ hideParameters: true })
    const error = await errorOf(
      withSession((session) =>
        session.execute('select nickname from people where name = $1', ['what nickname']),
      ),
    )
    expect(error.message).toBe('column "nickname" does not exist')
    const values = [1, 'people_pkey is what it is']
    const unique = await errorOf(
      withSession(async (session) => {
        await session.execute('insert into people values ($1, $2)', values)
        await session.execute('insert into people values ($1, $2)', values)
      }),
    )
    expect(unique).toMatchObject({ constraint: 'people_pkey', table: 'people' })
  })

  test('hides what earlier statements of the transaction sent', async () => {
    const { withSession } = fixture.factory({ hideParameters: true })
    const error = await errorOf(
      withSession(async (session) => {
        await session.execute('insert into late values ($1)', ['s3cret'])
        await session.execute('select 1')
      }),
    )
    expect(error.message).toBe('at the end: (hidden)')
    const streamed = await errorOf(
      withSession(async (session) => {
        const text = 'select case g when 5 then $1::text else $2 end::int from generate_series(1, 9) g'
        for await (const row of session.stream(text, ['s3cret', '1'], { batchSize: 2 }))
          expect(row).toBeDefined()
      }),
    )
    expect(shown(streamed)).not.toContain('s3cret')
  })

  test('hides the data of a COPY', async () => {
    const { withSession } = fixture.factory({ hideParameters: true })
    const error = await errorOf(
      withSession(async (session) => {
        const copy = await session.copyFrom('copy people (id) from stdin')
        await new Promise<void>((resolve, reject) =>
          copy.on('error', reject).on('finish', resolve).end('s3cret\n'),
        )
      }),
    )
    expect(shown(error)).not.toContain('s3cret')
  })

  test('does not show values in what follows from it: causes, events, echo', async () => {
    const lines: unknown[] = []
    const log = (...line: unknown[]): void => void lines.push(line)
    const engine = fixture.engine({ hideParameters: true, echo: { info: log, debug: log, error: log } })
    const { withSession } = createSessionFactory({ bind: engine })
    const later = await errorOf(
      withSession(async (session) => {
        await session.execute('select refuse($1)', ['s3cret']).catch(() => undefined)
        await session.execute('select 1')
      }),
    )
    expect(later.cause).toMatchObject({ message: 'not (hidden)' })
    expect(shown(later) + shown(lines)).not.toContain('s3cret')
  })
})

test('without hideParameters PostgreSQL is quoted', async () => {
  const { withSession } = fixture.factory()
  const error = await errorOf(withSession((session) => session.execute('select refuse($1)', ['s3cret'])))
  expect(error).toMatchObject({ message: 'not s3cret', detail: 's3cret' })
})
