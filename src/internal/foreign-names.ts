/**
 * Methods that users of other libraries expect. Calling one throws an error that names the method to call here.
 *
 * 1. They are not in the types: TypeScript refuses them by itself.
 * 2. They are methods, not getters, so that reading one throws nothing, and not enumerable. Subclasses and assignments replace them.
 * 3. A name by which an object of this library is recognised is never one of them: `withSession` (a factory), `begin` (an engine).
 * 4. `then` is never one of them, because `await` would call it, nor is `dispose`, because containers for dependencies call it.
 */
import { IllegalStateError } from '../errors.js'

const COLUMNS_ARE_NULLABLE = 'a column is nullable unless notNull() is called'
const SAVE =
  'session.add(object) stores a new object; a changed one that is in a session is stored by its commit()'
const OF_BLOCK =
  'sessions run statements, as in sessionFactory.withSession((session) => session.execute(...))'

/** Adds the methods to a class, prototype or function of this library. @throws TypeError for a name that it has already. */
export function addForeignNames<Target extends object>(target: Target, names: PropertyDescriptorMap): Target {
  const own = Object.keys(names).filter((name) => name in target)
  if (own.length > 0)
    throw new TypeError(`Methods of this library cannot be replaced by advice: ${own.join(', ')}`)
  return Object.defineProperties(target, names)
}

/** Of sessions and connections. */
export const OF_EXECUTOR: PropertyDescriptorMap = methods({
  'query raw': 'execute(text, values) runs a statement, and all(), one(), ... of its result return rows',
  'one first all oneOrNone scalarOne':
    '(await execute(...)).one(), first() or all() returns rows; scalar(...) one value',
  select: 'scalars(select(Entity).where(...)) returns objects, execute(text, values) rows',
  'insert update upsert':
    'execute(insert(Entity).values(...)) and execute(update(Entity).set(...).where(...)) write rows; a session stores changed objects by itself',
  'release end': 'close() returns the connection; withSession(fn) and engine.begin(fn) do it by themselves',
  transaction:
    'begin(fn) runs a transaction, beginNested(fn) a savepoint in it; withSession(fn) is a transaction already',
})

export const OF_SESSION: PropertyDescriptorMap = methods({
  'save persist persistAndFlush create':
    'add(object) stores a new object; changes of loaded objects are stored by commit()',
  'find findOne findOneBy findOneOrFail findBy findFirst findMany findAll findUnique findByPk':
    'get(Entity, id) returns the object with a key, scalars(select(Entity).where(...)) those that meet a condition',
  'remove destroy':
    'delete(object) deletes the row of an object, execute(deleteFrom(Entity).where(...)) many rows',
})

export const OF_ENGINE: PropertyDescriptorMap = methods({
  'query execute scalar scalars raw': `${OF_BLOCK}, and so do connections: engine.begin((connection) => connection.execute(...))`,
  'session transaction':
    'createSessionFactory({ bind: engine }).withSession(fn) runs a transaction in a session, engine.begin(fn) one on a connection',
  'end close destroy disconnect $disconnect': 'dispose() ends running work and closes the connections',
  'initialize $connect':
    'an engine opens connections when they are needed; check() asks whether the server answers',
})

export const OF_FACTORY: PropertyDescriptorMap = methods({
  'execute query scalar scalars stream add addAll get getOne flush commit': OF_BLOCK,
  transaction: 'withSession(fn) runs a transaction in its own session',
  'close end closeAll': 'engine.dispose() closes the connections; a factory has none',
})

export const OF_ENTITY_CLASS: PropertyDescriptorMap = methods({
  'find findOne findOneBy findBy findFirst findMany findAll findUnique findByPk query where':
    'session.get(Entity, id) returns the object with a key, session.scalars(select(Entity).where(...)) those that meet a condition',
  create: 'session.add(new Entity({ ... })) stores a new object',
  'insert update upsert delete destroy':
    'session.execute(insert(Entity).values(...)), update(Entity).set(...) or deleteFrom(Entity) writes rows',
})

export const OF_OBJECT: PropertyDescriptorMap = methods({
  save: SAVE,
  'remove destroy delete': 'session.delete(object) deletes its row',
})

export const OF_BASE: PropertyDescriptorMap = methods({
  'createAll dropAll create_all drop_all sync synchronize':
    'engine.begin((connection) => Base.metadata.createAll(connection)) creates tables, dropAll(connection) drops them',
})

export const OF_SELECT: PropertyDescriptorMap = methods({
  'execute all one first get getOne getMany toArray map forEach filter':
    'sessions run statements: session.scalars(select(...)) returns objects, (await session.execute(select(...))).one() one',
  'include populate with relations': "load('relation') loads relations",
  'join innerJoin leftJoin leftJoinAndSelect groupBy having':
    'load(...) and exists(...) follow relations; write other joins and groups with the sql tag, or with Kysely or Drizzle',
})

export const OF_COLUMN: PropertyDescriptorMap = methods({
  'nullable optional': COLUMNS_ARE_NULLABLE,
  'required nonNullable': 'notNull() requires a value',
  'primary pk': 'primaryKey() makes the primary key',
  'autoIncrement autoincrement': 'serial(), or integer().identity(), is generated by PostgreSQL',
  'defaultTo defaultNow $default $defaultFn':
    'default(value) sets it here, serverDefault(sql`now()`) in PostgreSQL',
})

/** @param names Names, separated by spaces, and what to call instead. */
function methods(names: Readonly<Record<string, string>>): PropertyDescriptorMap {
  const descriptors: PropertyDescriptorMap = {}
  for (const [list, instead] of Object.entries(names)) {
    for (const name of list.split(' ')) {
      const value = (): never => {
        throw new IllegalStateError(`There is no ${name}() here: ${instead}`)
      }
      descriptors[name] = { value, configurable: true, writable: true, enumerable: false }
    }
  }
  return descriptors
}
