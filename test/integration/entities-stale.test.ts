/** Rows that another transaction has changed, and connections that end in the middle of a flush. */
import { describe, expect, test } from 'vitest'
import {
  StaleDataError,
  belongsTo,
  declarativeBase,
  integer,
  isRetryable,
  serial,
  text,
  update,
  version,
} from '../../src/index.js'
import { startProxy } from '../helpers/proxy.js'
import { waitUntil } from '../helpers/wait-until.js'
import { statusOf, useEntities } from './entities-support.js'
import { errorOf, terminate } from './session-support.js'

const Base = declarativeBase()
class Page extends Base.entity('pages', {
  id: serial().primaryKey(),
  title: text().notNull(),
  body: text().default('empty'),
  chapterId: integer('chapter_id').references('pages.id'),
  version: version(),
}) {
  static readonly relations = { chapter: belongsTo(() => Page, 'chapterId') }
}
class Loose extends Base.entity('looses', { id: serial().primaryKey(), title: text().notNull() }) {}

const fixture = useEntities(Base)
const rows = () => fixture.db.query('select title, body, version from pages order by id')

async function stored() {
  const factory = fixture.factory()
  const session = factory()
  const page = new Page({ title: 'Home' })
  session.add(page)
  await session.commit()
  return { factory, session, page }
}

describe('rows that are not as they were', () => {
  test('fail the flush with StaleDataError where there is a version, on update and on delete', async () => {
    const { factory, session, page } = await stored()
    await using _ = session
    for (const end of ['update', 'delete']) {
      await factory.withSession(async (other) => {
        const mine = await other.getOne(Page, 1)
        mine.body = `theirs, before ${end}`
      })
      if (end === 'update') page.body = 'mine'
      else session.delete(page)
      const error = await errorOf(session.commit())
      expect(error).toBeInstanceOf(StaleDataError)
      expect(error.message).toContain('found 0 of 1 rows of pages')
      expect(isRetryable(error)).toBe(true)
      await session.rollback()
      expect(statusOf(page)).toBe('persistent')
      await session.refresh(page)
      expect(page.body).toBe(`theirs, before ${end}`)
    }
    expect(await rows()).toEqual([{ title: 'Home', body: 'theirs, before delete', version: 3 }])
  })

  test('because of a bulk statement of the same session name it, and how it can give them anew', async () => {
    const { session, page } = await stored()
    await using _ = session
    await session.execute(update(Page).set({ title: 'bulk' }))
    page.body = 'mine'
    const error = await errorOf(session.commit())
    expect(error).toBeInstanceOf(StaleDataError)
    expect(error.message).toContain('a bulk statement returns the changed rows with returning()')
    await session.rollback()
    await session.refresh(page)
    await session.scalars(update(Page).set({ title: 'bulk' }).returning())
    page.body = 'mine'
    await session.commit()
    expect(await rows()).toEqual([{ title: 'bulk', body: 'mine', version: 3 }])
  })

  test('fail an update also without a version, if they are gone; a delete only warns', async () => {
    await using session = fixture.factory()()
    const [one, two] = [new Loose({ title: 'a' }), new Loose({ title: 'b' })]
    session.addAll([one, two])
    await session.commit()
    await fixture.db.query('delete from looses where id = 1')
    one.title = two.title = 'c'
    const error = await errorOf(session.commit())
    expect([error.constructor, error.message]).toEqual([
      StaleDataError,
      expect.stringContaining('found 1 of 2 rows of looses') as string,
    ])
    await session.rollback()
    const warnings: (Error & { code?: string })[] = []
    const listen = (warning: Error): void => void warnings.push(warning)
    process.on('warning', listen)
    session.delete(one)
    session.delete(two)
    await session.commit()
    await waitUntil(() => warnings.length > 0)
    process.off('warning', listen)
    expect(warnings.map(({ code }) => code)).toEqual(['LIFEGUARD_MISSING_ROWS'])
    expect([statusOf(one), statusOf(two)]).toEqual(['detached', 'detached'])
  })

  test('are not found by a version that is set: that is refused, as it would compare nothing', async () => {
    const { session, page } = await stored()
    await using _ = session
    Object.assign(page, { title: 'mine', version: 7 })
    expect((await errorOf(session.commit())).message).toContain('pages.version is incremented by the session')
    page.version = 1
    await session.commit()
    expect(await rows()).toEqual([{ title: 'mine', body: 'empty', version: 2 }])
  })

  test('are read again when withSession retries', async () => {
    const { factory, session } = await stored()
    await session.close()
    let attempts = 0
    await factory.withSession(
      async (mine) => {
        const page = await mine.getOne(Page, 1)
        if (++attempts === 1) {
          await factory.withSession(
            async (theirs) => {
              const same = await theirs.getOne(Page, 1)
              same.title = 'theirs'
            },
            { propagation: 'requiresNew' },
          )
        }
        page.body = `mine, over ${page.title}`
      },
      { retry: { attempts: 3 } },
    )
    expect([attempts, await rows()]).toEqual([
      2,
      [{ title: 'theirs', body: 'mine, over theirs', version: 3 }],
    ])
  })
})

describe('a connection', () => {
  test('that is lost in the middle of a flush leaves new objects to be added again', async () => {
    const { session } = await stored()
    const pid = await session.scalar<number>('select pg_backend_pid()')
    await terminate(fixture.db, pid ?? undefined)
    const page = new Page({ title: 'Next' })
    session.add(page)
    expect((await errorOf(session.commit())).constructor.name).toBe('ConnectionLostError')
    await session.rollback()
    expect([statusOf(page), page.id]).toEqual(['transient', undefined])
    session.add(page)
    await session.commit()
    expect((await rows()).map(({ title }) => title)).toEqual(['Home', 'Next'])
    await session.close()
  })

  test('that is aborted in the middle of a flush stores nothing', async () => {
    const { factory, session } = await stored()
    await session.close()
    await using locker = factory()
    await locker.getOne(Page, 1, { forUpdate: true })
    const controller = new AbortController()
    const page = new Page({ title: 'Next' })
    const work = factory.withSession(
      async (mine) => {
        mine.add(page)
        const locked = await mine.getOne(Page, 1)
        locked.body = 'never'
        await mine.flush()
      },
      { signal: controller.signal },
    )
    await waitUntil(
      async () =>
        (
          await fixture.db.query(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
          )
        ).length > 0,
    )
    controller.abort()
    expect((await errorOf(work)).name).toBe('AbortError')
    expect([statusOf(page), page.id]).toEqual(['transient', undefined])
    await locker.rollback()
    expect(await rows()).toEqual([{ title: 'Home', body: 'empty', version: 1 }])
  })

  test('that is given back by a rollback takes the flush with it that was still being prepared', async () => {
    const proxy = await startProxy(fixture.db.url)
    try {
      await using session = fixture.factory({ url: proxy.url })()
      const [chapter, page] = [new Page({ title: 'Chapter' }), new Page({ title: 'Page' })]
      Object.assign(page, { chapter })
      session.addAll([page, chapter])
      // The key of the chapter is asked for first; ROLLBACK is on its way before that is answered.
      const held = proxy.holdAt({ from: 'server', when: 'before', message: 1 })
      const flushing = errorOf(session.flush())
      const connection = await held
      const rollingBack = session.rollback()
      connection.resume()
      await rollingBack
      expect((await flushing).message).toContain('rolled back while this flush was being prepared')
      expect([session.inTransaction, statusOf(page), statusOf(chapter)]).toEqual([
        false,
        'transient',
        'transient',
      ])
      await session.commit()
      expect(await rows()).toEqual([])
    } finally {
      proxy.close()
    }
  })
})
