/** What works and is probably a mistake: told by a warning, once for each place, and not in production. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createEngine, createSessionFactory, declarativeBase, serial, text } from '../../src/index.js'
import { libraryFolder, withoutOwnFrames } from '../../src/internal/own-frames.js'
import { captureCallSite, lineOf } from '../../src/pool/call-site.js'
import { stateOf } from '../../src/unit/instance-state.js'
import { UnstoredChanges } from '../../src/session/unstored-changes.js'
import { ManualClock } from './pool/manual-clock.js'

let warnings: { message: string; code: string }[] = []

beforeEach(() => {
  warnings = []
  ;(globalThis as Record<symbol, unknown>)[Symbol.for('lifeguard.warned')] = undefined
  vi.spyOn(process, 'emitWarning').mockImplementation((message, options) => {
    warnings.push({ message: String(message), code: (options as { code: string }).code })
  })
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
})

const Base = declarativeBase()
const Plain = Base.entity('plain', { id: serial().primaryKey(), title: text(), note: text() })
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('seconds for milliseconds', () => {
  test.each([
    ['poolRecycleMillis', 1_800, '1_800_000'],
    ['poolTimeoutMillis', 30, '30_000'],
    ['idleTimeoutMillis', 600, '600_000'],
    ['connectTimeoutMillis', 10, '10_000'],
    ['keepAliveMillis', 60, '60_000'],
  ])('%s: %d', (option, value, meant) => {
    for (let times = 0; times < 3; times++) createEngine({ [option]: value })
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatchObject({ code: 'LIFEGUARD_SECONDS' })
    expect(warnings[0]?.message).toContain(`${option} is ${String(value)} milliseconds`)
    expect(warnings[0]?.message).toContain(`did you mean ${meant}?`)
    expect(warnings[0]?.message).toContain('probable-mistakes.test')
  })

  test('a duration that is meant, the defaults, and production say nothing', () => {
    createEngine({ poolRecycleMillis: 1_800_000, poolTimeoutMillis: 250, idleTimeoutMillis: -1 })
    vi.stubEnv('NODE_ENV', 'production')
    createEngine({ poolRecycleMillis: 1_800 })
    expect(warnings).toEqual([])
  })
})

describe('a class field that overwrites a column', () => {
  test('is named, once, with what to write', async () => {
    class Song extends Plain {
      override title: string | null = 'x'
    }
    expect(new Song({ title: 'given' }).title).toBe('x')
    new Song({ title: 'again' })
    await tick()
    expect(warnings).toMatchObject([{ code: 'LIFEGUARD_CLASS_FIELD' }])
    expect(warnings[0]?.message).toContain('Song.title overwrites what the constructor was given')
    expect(warnings[0]?.message).toContain('`declare title: ...`')
    expect(warnings[0]?.message).toMatch(/constructor was given, at .*probable-mistakes\.test/)
  })

  test('is found in a class in between, without a value, and behind methods and strings', async () => {
    const Between = new Function(
      'Plain',
      `return class extends Plain {
        static title = { a: '}' }
        get kind() { const title = '{'; return \`\${title} {\` } // title = {
        'note' = 1
        title
      }`,
    )(Plain) as typeof Plain
    class Song extends Between {}
    new Song({ title: 'given' })
    await tick()
    expect(warnings.map(({ message }) => message.slice(0, 27))).toEqual(['The class field Song.title '])
  })

  test('no field, a default by a field, a later change, and production say nothing', async () => {
    class Quiet extends Plain {
      other = 'mine'
      rename(title: string): void {
        this.title = title
      }
    }
    const quiet = new Quiet({ title: 'given' })
    quiet.rename('another')
    class Initial extends (Plain as never as new (values: object) => object) {
      title = 'x'
    }
    new Initial({})
    vi.stubEnv('NODE_ENV', 'production')
    class Shipped extends (Plain as never as new (values: object) => object) {
      title = 'x'
    }
    new Shipped({ title: 'given' })
    await tick()
    expect(warnings).toEqual([])
  })
})

describe('changes that nothing stores', () => {
  const engine = createEngine({ url: 'postgres://nobody@localhost:1/nowhere' })

  test('a session that is closed with new objects is told where it was made', async () => {
    const sessionFactory = createSessionFactory({ bind: engine })
    const session = sessionFactory()
    session.add(new Plain({}))
    await session.close()
    expect(warnings).toMatchObject([{ code: 'LIFEGUARD_UNFLUSHED' }])
    expect(warnings[0]?.message).toMatch(
      /Call commit\(\) before, or use withSession.*probable-mistakes\.test/s,
    )
  })

  test('not after a rollback, and not without objects', async () => {
    const sessionFactory = createSessionFactory({ bind: engine })
    const session = sessionFactory()
    session.add(new Plain({}))
    await session.rollback()
    await session.close()
    await sessionFactory().close()
    expect(warnings).toEqual([])
  })

  test('an object that is changed after its session has ended is named after a while', async () => {
    const clock = new ManualClock()
    const unstored = new UnstoredChanges(clock)
    const [changed, kept] = [detached(1), detached(2)]
    unstored.watch([changed, kept].map(stateOf), { stack: 'Error\n    at load (/app/load.js:7:9)' })
    changed.title = 'new'
    await clock.advance(999)
    expect(warnings).toEqual([])
    await clock.advance(1)
    expect(warnings).toMatchObject([{ code: 'LIFEGUARD_DETACHED_CHANGE' }])
    expect(warnings[0]?.message).toContain('title was changed after the session')
    expect(warnings[0]?.message).toContain('(a stored plain')
    expect(warnings[0]?.message).toContain('that ran statements at load (/app/load.js:7:9))')
  })

  test('not if it was added to another session', async () => {
    const clock = new ManualClock()
    const unstored = new UnstoredChanges(clock)
    const object = detached(1)
    unstored.watch([stateOf(object)], undefined)
    object.title = 'new'
    stateOf(object).become('persistent', { closed: false, hidesValues: false })
    await clock.advance(2_000)
    expect(warnings).toEqual([])
  })

  /** An object as a session leaves it. */
  function detached(id: number): InstanceType<typeof Plain> {
    const object = new Plain({ title: 'old', note: null })
    object.id = id
    const state = stateOf(object)
    state.snapshot = [id, 'old', null]
    state.become('detached', undefined)
    return object
  }
})

describe('stacks', () => {
  const own = new URL('../../src/engine/engine.ts', import.meta.url)

  test.each([
    ['an ES module', 'file:///app/node_modules/lifeguard/dist/', 'file:///app/mine.js'],
    ['CommonJS', '/app/node_modules/lifeguard/dist/', '/app/mine.js'],
    ['an ES module on Windows', 'file:///C:/app/node_modules/lifeguard/dist/', 'file:///C:/app/mine.js'],
    ['CommonJS on Windows', 'C:\\app\\node_modules\\lifeguard\\dist\\', 'C:\\app\\mine.js'],
    [
      'a folder with brackets',
      'C:\\Program Files (x86)\\app\\node_modules\\lifeguard\\dist\\',
      'C:\\Program Files (x86)\\app\\mine.js',
    ],
    ['a share of Windows', '\\\\server\\share\\lifeguard\\dist\\', '\\\\server\\share\\mine.js'],
    ['beside a folder that begins alike', '/app/dist/', '/app/dist-of-mine/mine.js'],
  ])('lose the frames of the library: %s', (_kind, folder, mine) => {
    const frames = [`at ${folder}index.js:1:2`, `at Object.<anonymous> (${folder}index.js:30:4)`]
    expect(libraryFolder(`Error\n    ${frames[0]}`)).toBe(folder)
    expect(libraryFolder(`Error\n    ${frames[1]}`)).toBe(folder)
    const mineFrames = [
      `at async ${mine}:7:8`,
      `at main [as run] (${mine}:9:1)`,
      'at async Promise.all (index 0)',
    ]
    const library = [
      ...frames,
      'at Array.map (<anonymous>)',
      'at process.processTicksAndRejections (node:internal/process/task_queues:95:5)',
      `at async Session.execute [as run] (${folder}fastify.cjs:5:6)`,
    ]
    const stack = ['Error: x', ...[...library, ...mineFrames].map((frame) => `    ${frame}`)].join('\n')
    expect(withoutOwnFrames(stack, [folder])).toBe(
      ['Error: x', ...mineFrames.map((frame) => `    ${frame}`)].join('\n'),
    )
  })

  test('the folder of the repository is found behind its own folder, on Windows, too', () => {
    expect(libraryFolder('Error\n    at file:///C:/lifeguard/src/internal/own-frames.ts:1:2')).toBe(
      'file:///C:/lifeguard/src/',
    )
    expect(libraryFolder('Error\n    at f (C:\\lifeguard\\src\\internal\\own-frames.ts:1:2)')).toBe(
      'C:\\lifeguard\\src\\',
    )
  })

  test('a process that shows stacks in another form is no reason to fail', () => {
    const holder = Error as { prepareStackTrace?: unknown }
    const before = holder.prepareStackTrace
    holder.prepareStackTrace = (_error: Error, sites: unknown) => sites
    const { stack } = captureCallSite(captureCallSite)
    holder.prepareStackTrace = before
    expect(stack).toBe('')
    expect(libraryFolder([{}])).toBeUndefined()
    expect(lineOf({ stack })).toBe('an unknown place')
  })

  test('lose the frames of the library', () => {
    const stack = `Error: x\n    at f (${own.pathname}:1:2)\n    at async ${own.href}:1:2\n    at mine (/app/mine.js:3:4)`
    expect(withoutOwnFrames(stack.replace(own.href, own.pathname))).toBe(
      'Error: x\n    at mine (/app/mine.js:3:4)',
    )
  })

  test('keep them where nothing else is left', () => {
    const stack = `Error: x\n    at f (${own.pathname}:1:2)\n    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)`
    expect(withoutOwnFrames(stack)).toBe(stack)
  })
})
