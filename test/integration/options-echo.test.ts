import { describe, expect, test, vi } from 'vitest'
import type { Logger } from '../../src/engine/echo.js'
import { errorOf, useDatabase } from './session-support.js'

const fixture = useDatabase('create table notes (id int primary key, text text)')

interface Line {
  readonly level: 'info' | 'debug' | 'error'
  readonly fields: Record<string, unknown>
  readonly message: string
}

/** A logger that keeps what it is told. */
function recorder(): Logger & { readonly lines: Line[]; messages(): string[] } {
  const lines: Line[] = []
  const log =
    (level: Line['level']) =>
    (fields: object, message: string): void =>
      void lines.push({ level, fields: fields as Record<string, unknown>, message })
  return {
    lines,
    messages: () => lines.map(({ message }) => message),
    info: log('info'),
    debug: log('debug'),
    error: log('error'),
  }
}

/** What is written to standard output while the work runs. */
async function outputOf(work: () => Promise<unknown>): Promise<string> {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  try {
    await work()
    return write.mock.calls.map(([line]) => String(line)).join('')
  } finally {
    write.mockRestore()
  }
}

describe('a logger', () => {
  test('is told every statement of a transaction, BEGIN and COMMIT included, in order', async () => {
    const echo = recorder()
    await fixture.factory({ echo }).withSession(async (session) => {
      await session.execute('select $1::int', [7])
      await session.beginNested(() => session.execute('select 2'))
      await session.execute('select 3')
    })
    const statements = echo.messages().filter((message) => !message.startsWith('rows:'))
    expect(statements).toEqual([
      'BEGIN (implicit)',
      'select $1::int -- ["7"]',
      'SAVEPOINT lifeguard_1',
      'select 2',
      'RELEASE SAVEPOINT lifeguard_1',
      'select 3',
      'COMMIT',
    ])
  })

  test('is told connection, duration and number of rows', async () => {
    const echo = recorder()
    await fixture.factory({ echo }).withSession((session) => session.execute('select generate_series(1, 3)'))
    const line = echo.lines.find(({ message }) => message.startsWith('select generate_series'))
    expect(line?.level).toBe('info')
    expect(line?.fields).toMatchObject({ connectionId: 1, rowCount: 3 })
    expect(line?.fields['durationMillis']).toBeGreaterThan(0)
  })

  test('is told the rows at its level debug', async () => {
    const echo = recorder()
    await fixture
      .factory({ echo })
      .withSession((session) => session.execute('select 1 as a union all select 2'))
    expect(echo.lines.filter(({ level }) => level === 'debug').map(({ message }) => message)).toEqual([
      'rows: {"a":1} {"a":2}',
    ])
  })

  test('is told failures at its level error, with the statement', async () => {
    const echo = recorder()
    await errorOf(
      fixture.factory({ echo }).withSession((session) => session.execute('select * from nowhere')),
    )
    const failure = echo.lines.find(({ level }) => level === 'error')
    expect(failure?.message).toContain('select * from nowhere')
    expect(failure?.message).toContain('relation "nowhere" does not exist')
    expect(echo.messages().at(-1)).toBe('ROLLBACK')
  })

  test('is told settings of the transaction', async () => {
    const echo = recorder()
    await fixture.factory({ echo }).withSession((session) => session.execute('select 1'), {
      settings: { 'app.tenant': '7' },
      isolationLevel: 'SERIALIZABLE',
    })
    expect(echo.messages().join('\n')).toContain('app.tenant')
  })

  test('that throws fails no call, and its error becomes a warning', async () => {
    const broken = (): never => {
      throw new Error('disk full')
    }
    const warnings: string[] = []
    const listen = (warning: Error): void => void warnings.push(warning.message)
    process.on('warning', listen)
    const { withSession, bind } = fixture.factory({ echo: { info: broken, debug: broken, error: broken } })
    expect(await withSession((session) => session.scalar('select 1'))).toBe(1)
    await errorOf(withSession((session) => session.execute('not sql')))
    await new Promise(setImmediate)
    process.off('warning', listen)
    expect(bind.stats().borrowed).toBe(0)
    expect(warnings.length).toBeGreaterThan(0)
    expect(warnings[0]).toContain('disk full')
  })
})

describe('long values', () => {
  test('are cut, many of them are counted, and bytes are measured', async () => {
    const echo = recorder()
    await fixture.factory({ echo }).withSession(async (session) => {
      await session.execute('select $1::text', ['x'.repeat(10_000)])
      await session.execute('select $1::int[]', [Array.from({ length: 5 }, (_, index) => index)])
      await session.execute('select $1::bytea', [Buffer.alloc(5000)])
      const numbers = Array.from({ length: 150 }, (_, index) => index)
      await session.execute(`select ${numbers.map((number) => `$${number + 1}::int`).join(', ')}`, numbers)
      await session.execute('select generate_series(1, 5000)')
    })
    const messages = echo.messages()
    expect(Math.max(...messages.map(({ length }) => length))).toBeLessThan(5000)
    expect(messages.some((message) => message.includes('<5000 bytes>'))).toBe(true)
    expect(messages.some((message) => message.includes('and 50 more'))).toBe(true)
    expect(messages.some((message) => message.startsWith('rows:') && message.includes('and 4900 more'))).toBe(
      true,
    )
  })

  test('rows that JSON cannot hold do not matter', async () => {
    const echo = recorder()
    const circle: { self?: unknown } = {}
    circle.self = circle
    const types = { getTypeParser: () => () => circle }
    const { withSession } = fixture.factory({ echo, types })
    expect((await withSession((session) => session.execute('select 1 as a'))).rowCount).toBe(1)
    const big = fixture.factory({ echo, types: { getTypeParser: () => (text: string) => BigInt(text) } })
    expect(await big.withSession((session) => session.scalar('select 1 as a'))).toBe(1n)
  })
})

describe('hideParameters', () => {
  test('keeps values and rows out of every line, also those that PostgreSQL quotes', async () => {
    const echo = recorder()
    const { withSession } = fixture.factory({ echo, hideParameters: true })
    await withSession((session) => session.execute('select $1::text', ['hunter2']))
    await errorOf(withSession((session) => session.execute('select $1::int', ['hunter2'])))
    await withSession(async (session) => {
      await session.execute("insert into notes values ($1, 'x')", [4711])
      await session.execute("insert into notes values ($1, 'x')", [4711]).catch(() => undefined)
    }).catch(() => undefined)
    const text = JSON.stringify(echo.lines)
    expect(text).toContain('parameters hidden')
    expect(text).toContain('select $1::text')
    expect(text).not.toContain('hunter2')
    expect(text).not.toContain('4711')
    expect(echo.lines.filter(({ level }) => level === 'debug')).toEqual([])
  })
})

describe('standard output', () => {
  test('true: statements with their figures, no rows', async () => {
    const output = await outputOf(() =>
      fixture
        .factory({ echo: true, name: 'songs' })
        .withSession((session) => session.execute('select 4711 as n')),
    )
    expect(output).toMatch(/^songs \[1\] BEGIN \(implicit\)$/m)
    expect(output).toMatch(/^songs \[1\] select 4711 as n \(1 rows, \d+\.\d ms\)$/m)
    expect(output).toMatch(/^songs \[1\] COMMIT/m)
    expect(output).not.toContain('{"n":4711}')
  })

  test("'debug': the rows as well", async () => {
    const output = await outputOf(() =>
      fixture.factory({ echo: 'debug' }).withSession((session) => session.execute('select 4711 as n')),
    )
    expect(output).toContain('rows: {"n":4711}')
  })

  test('may be switched on and off while the engine runs', async () => {
    const { withSession, bind } = fixture.factory()
    const output = await outputOf(async () => {
      await withSession((session) => session.execute('select 1 as before'))
      bind.echo = true
      await withSession((session) => session.execute('select 1 as during'))
      bind.echo = false
      await withSession((session) => session.execute('select 1 as after'))
    })
    expect(output).toContain('during')
    expect(output).not.toMatch(/before|after/)
  })

  test('a read-only block tells of its COMMIT, too', async () => {
    const echo = recorder()
    await fixture.factory({ echo }).withSession(
      async (session) => {
        await session.execute('select 1')
        await session.execute('select 2')
      },
      { readOnly: true },
    )
    expect(echo.messages().some((message) => message.startsWith('COMMIT'))).toBe(true)
  })

  test('the password is nowhere', async () => {
    const { password } = new URL(fixture.db.url)
    const output = await outputOf(async () => {
      await fixture.factory({ echo: 'debug' }).withSession((session) => session.execute('select 1'))
    })
    expect(output).not.toContain(decodeURIComponent(password))
  })
})
