/** Whatever a public call is given by mistake: an error of this library, promptly, and nothing is left behind. */
import { expect, test } from 'vitest'
import * as lifeguard from '../../src/index.js'
import {
  createEngine,
  createSessionFactory,
  declarativeBase,
  hasMany,
  integer,
  jsonb,
  LifeguardError,
  sql,
  text,
} from '../../src/index.js'
import { errorOf, useDatabase } from './session-support.js'

const Base = declarativeBase()
class Post extends Base.entity('posts', {
  id: integer().primaryKey(),
  userId: integer().references('users.id'),
}) {}
class User extends Base.entity('users', { id: integer().primaryKey(), name: text(), doc: jsonb() }) {
  static readonly relations = { posts: hasMany(() => Post, 'userId') }
}

const fixture = useDatabase(
  ...Base.metadata
    .ddl()
    .split(';')
    .filter((line) => line.trim() !== ''),
)

function revokedProxy(target: object): unknown {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

const HOSTILE: readonly [string, unknown][] = [
  ['null', null],
  ['undefined', undefined],
  ['42', 42],
  ["'x'", 'x'],
  ['[]', []],
  ['{}', {}],
  ['a symbol', Symbol('x')],
  ['a function', () => undefined],
  ['a bigint', 1n],
  ['a Set', new Set()],
  ['a revoked proxy', revokedProxy({})],
  ['a revoked array', revokedProxy([])],
  ['a revoked function', revokedProxy(() => undefined)],
]

/** Every way to be called with one or two of them. */
const ARGUMENTS: readonly [string, unknown[]][] = HOSTILE.flatMap(([one, first]) => [
  [one, [first]],
  ...HOSTILE.map(([other, second]): [string, unknown[]] => [`${one}, ${other}`, [first, second]]),
])

type Callable = (...args: unknown[]) => unknown

/** Calls it, and reads to its end what it gives. */
async function outcomeOf(call: Callable, args: unknown[]): Promise<unknown> {
  const given = await call(...args)
  if (typeof given !== 'object' || given === null || !(Symbol.asyncIterator in given)) return given
  const iterator = (given as AsyncIterable<unknown>)[Symbol.asyncIterator]()
  // A listener would wait for ever.
  return await iterator.next()
}

/** What came out of it that is no error of this library. */
async function complaintsOf(name: string, call: Callable, lists = ARGUMENTS): Promise<string[]> {
  const complaints: string[] = []
  for (const [shown, args] of lists) {
    try {
      await outcomeOf(call, args)
    } catch (error) {
      if (error instanceof LifeguardError) continue
      complaints.push(`${name}(${shown}): ${String(error)}`)
    }
  }
  return complaints
}

const NAMES_OF_ERRORS = /Error$/
/** They are given a function, call it, and pass on what it throws; or wait for it. */
const CLASSES = new Set(['Engine', 'Session', 'Connection', 'QueuePool', 'NullPool'])

test('functions', async () => {
  const complaints: string[] = []
  for (const [name, value] of Object.entries(lifeguard)) {
    if (typeof value !== 'function' || NAMES_OF_ERRORS.test(name) || CLASSES.has(name)) continue
    if (/^class\b/.test(Function.prototype.toString.call(value))) continue
    complaints.push(...(await complaintsOf(name, value as Callable)))
  }
  for (const name of ['identifier', 'raw', 'join'] as const)
    complaints.push(...(await complaintsOf(`sql.${name}`, sql[name] as Callable)))
  const compiled: Callable = (...args) =>
    (sql as unknown as (...given: unknown[]) => { text: string })(...args).text
  complaints.push(...(await complaintsOf('sql', compiled)))
  const joined: Callable = (...args) => (sql.join as (...given: unknown[]) => { text: string })(...args).text
  complaints.push(...(await complaintsOf('sql.join', joined)))
  expect(complaints).toEqual([])
})

test('conditions on a column, and builders', async () => {
  const complaints: string[] = []
  for (const name of [
    'eq',
    'ne',
    'gt',
    'gte',
    'lt',
    'lte',
    'like',
    'ilike',
    'inArray',
    'between',
    'isNull',
    'asc',
    'desc',
  ] as const) {
    const call = lifeguard[name] as unknown as Callable
    complaints.push(...(await complaintsOf(name, (...args) => call(User.c.name, ...args))))
    complaints.push(...(await complaintsOf(`${name}, id`, (...args) => call(User.c.id, ...args))))
  }
  const builders = {
    select: () => lifeguard.select(User),
    update: () => lifeguard.update(User),
    deleteFrom: () => lifeguard.deleteFrom(User),
  }
  for (const [what, make] of Object.entries(builders)) {
    const names = Object.getOwnPropertyNames(Object.getPrototypeOf(make())).filter(
      (name) => name !== 'constructor',
    )
    for (const name of names) {
      const call: Callable = (...args) => {
        const made = (make() as unknown as Record<string, Callable>)[name]?.call(make(), ...args)
        if (typeof made === 'object' && made !== null && 'toEntityQuery' in made)
          (made as { toEntityQuery(): unknown }).toEntityQuery()
      }
      complaints.push(...(await complaintsOf(`${what}().${name}`, call)))
    }
  }
  for (const name of ['hasMany', 'hasOne', 'belongsTo', 'manyToMany'] as const) {
    complaints.push(
      ...(await complaintsOf(`${name}, an entity`, (...args) =>
        (lifeguard[name] as unknown as Callable)(...args),
      )),
    )
    const refusal = (): unknown => (lifeguard[name] as unknown as Callable)(Post, 'userId')
    expect(refusal).toThrow(lifeguard.MappingError)
    expect(refusal).toThrow(`${name} takes a function that returns the entity: ${name}(() => Post, ...)`)
  }
  expect(complaints).toEqual([])
})

test('of metadata', async () => {
  const { createAll, dropAll } = Base.metadata
  for (const call of [createAll, dropAll]) {
    expect(
      await complaintsOf(call.name, (...args) => (call as Callable).call(Base.metadata, ...args)),
    ).toEqual([])
    const engine = fixture.engine()
    const error = await errorOf(call.call(Base.metadata, engine as never))
    expect(error.message).toContain(`engine.begin((connection) => Base.metadata.${call.name}(connection))`)
  }
})

/** Public names of an object, its classes' included. */
function methodsOf(object: object): string[] {
  const names = new Set<string>()
  for (let at: object = object; at !== Object.prototype; at = Object.getPrototypeOf(at) as object) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (typeof value === 'function' && name !== 'constructor') names.add(name)
    }
  }
  return [...names]
}

/** These are not the caller's, or would end what is tried. */
const LEFT_OUT = new Set([
  'setUp',
  'openPipeline',
  'runOwned',
  'join',
  'dispose',
  'recreate',
  // For integrations.
  'connectOn',
  'lease',
  'internals',
  'handOver',
  'runStatement',
  'exclusively',
  'close',
  'invalidate',
  'suspend',
])

test('of an engine', async () => {
  const engine = fixture.engine({ poolSize: 2, maxOverflow: 0, poolTimeoutMillis: 2_000 })
  const complaints: string[] = []
  for (const name of methodsOf(engine).filter((method) => !LEFT_OUT.has(method))) {
    const call: Callable = async (...args) => {
      const signal = AbortSignal.timeout(300)
      const given = name === 'listen' && args.length > 1 ? [args[0], args[1] ?? { signal }] : args
      const made = (engine as unknown as Record<string, Callable>)[name]?.call(engine, ...given)
      if (name === 'listen') {
        const listening = made as AsyncGenerator<unknown>
        await Promise.race([listening.next(), new Promise((resolve) => setTimeout(resolve, 20))])
        void listening.return(undefined).catch(() => undefined)
        return
      }
      const connection = await made
      if (connection instanceof lifeguard.Connection) await connection.close()
    }
    if (name === 'listen')
      complaints.push(
        ...(await complaintsOf(
          name,
          call,
          ARGUMENTS.filter(([, [first]]) => typeof first !== 'string'),
        )),
      )
    else complaints.push(...(await complaintsOf(`engine.${name}`, call)))
  }
  complaints.push(...(await complaintsOf('createEngine', (...args) => void createEngine(...(args as [])))))
  complaints.push(
    ...(await complaintsOf('createSessionFactory', (first) => void createSessionFactory(first as never))),
  )
  complaints.push(
    ...(await complaintsOf('dispose', (...args) =>
      createEngine({ url: fixture.db.url }).dispose(...(args as [])),
    )),
  )
  expect(complaints).toEqual([])
  expect(engine.stats().borrowed).toBe(0)
})

test('of a factory', async () => {
  const factory = fixture.factory({ poolSize: 2, maxOverflow: 0, poolTimeoutMillis: 2_000 })
  const complaints = [
    ...(await complaintsOf('factory', (...args) => (factory as unknown as Callable)(...args))),
    ...(await complaintsOf('withSession', factory.withSession as unknown as Callable)),
    ...(await complaintsOf('withSession(fn, ...)', (...args) =>
      (factory.withSession as unknown as Callable)(() => 1, ...args),
    )),
    ...(await complaintsOf('on', factory.on as unknown as Callable)),
  ]
  expect(complaints).toEqual([])
  expect(factory.bind.stats().borrowed).toBe(0)
})

test.each(['session', 'connection'] as const)('of a %s', async (kind) => {
  const factory = fixture.factory({ poolSize: 1, maxOverflow: 0, poolTimeoutMillis: 2_000 })
  const open = async (): Promise<object & { close(): Promise<void> }> =>
    kind === 'session' ? factory() : await factory.bind.connect()
  const first = await open()
  const names = methodsOf(first).filter((name) => !LEFT_OUT.has(name))
  await first.close()
  const complaints: string[] = []
  for (const name of names) {
    const call: Callable = async (...args) => {
      const held = await open()
      try {
        return await outcomeOf(
          (held as unknown as Record<string, Callable>)[name]?.bind(held) as Callable,
          args,
        )
      } finally {
        await held.close()
        expect(factory.bind.stats().borrowed).toBe(0)
      }
    }
    complaints.push(...(await complaintsOf(`${kind}.${name}`, call)))
    if (['get', 'getOne', 'add', 'merge', 'refresh', 'expire', 'delete'].includes(name)) {
      const withEntity: Callable = (...args) =>
        call(name.startsWith('get') ? User : new User({ id: 1 }), ...args)
      complaints.push(...(await complaintsOf(`${kind}.${name}(User, ...)`, withEntity)))
    }
  }
  expect(complaints).toEqual([])
})

test('what is no script is refused before anything is taken', async () => {
  const factory = fixture.factory({ poolSize: 1, maxOverflow: 0 })
  for (const given of [42, null, undefined, {}, ['select 1'], sql`select 1`, 'select \0']) {
    const session = factory()
    expect(await errorOf(session.executeScript(given as never))).toBeInstanceOf(
      lifeguard.InvalidStatementError,
    )
    expect(factory.bind.stats().size).toBe(0)
    await session.close()
  }
})

// Each has no properties, and would be taken for `{}`: options that are dropped, a row of nothing but defaults.
const NO_PROPERTIES: readonly [string, () => object][] = [
  ['a promise', () => Promise.resolve({ readOnly: true })],
  ['a Map', () => new Map([['readOnly', true]])],
  ['a Set', () => new Set()],
  ['a Date', () => new Date()],
  ['an iterator', () => [1].values()],
]

test.each(NO_PROPERTIES)('%s is neither options nor a row', async (what, make) => {
  const { withSession } = fixture.factory()
  const given = make() as never
  const calls: Callable[] = [
    () => withSession(() => 1, given),
    () => fixture.factory()(given),
    () => fixture.engine().begin(() => 1, given),
    () => fixture.engine().connect(given),
    () => withSession((session) => session.get(User, 1, given)),
    () => withSession((session) => session.execute(lifeguard.insert(User).values(given))),
    () => withSession((session) => session.execute(lifeguard.insert(User).values([{ id: 1 }, given]))),
    () => new User(given),
    () => createEngine(given),
    () => declarativeBase(given),
  ]
  for (const call of calls) {
    const error = await errorOf(Promise.resolve().then(call))
    expect(error, String(call)).toBeInstanceOf(LifeguardError)
    expect(error.message, String(call)).toContain(`not ${what}`)
  }
  expect(await withSession((session) => session.scalar('select count(*)::int from users'))).toBe(0)
})

test('what names no entity, table or conflict is refused by what it is', () => {
  const circle: { self?: unknown } = {}
  circle.self = circle
  for (const name of [circle, 1n, null, undefined, Symbol('x')]) {
    expect(() => declarativeBase().entity(name as never, { id: integer().primaryKey() })).toThrow(
      LifeguardError,
    )
  }
  for (const target of [1, 1n, Symbol('x'), () => 1]) {
    expect(() =>
      lifeguard
        .insert(User)
        .values({ id: 1 })
        .onConflict(target as never),
    ).toThrow(lifeguard.InvalidStatementError)
  }
  for (const values of [null, 5, 'x', [], Symbol('x')])
    expect(() => new User(values as never)).toThrow(LifeguardError)
})

test('a relation to load that is no list is refused by its name', async () => {
  const { withSession } = fixture.factory()
  const error = await errorOf(withSession((session) => session.get(User, 1, { load: 'posts' as never })))
  expect(error).toMatchObject({ code: 'INVALID_OPTION', option: 'load' })
  expect(error.message).toBe("load must be an array of relations: ['posts']")
})
