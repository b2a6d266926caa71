/**
 * `lifeguard/testing`: a database for tests, a transaction around each test that is rolled back, and a check for leaks. For vitest, jest,
 * node:test, and any other runner.
 */
export { createTestDatabase, type TestDatabase } from './testing/database.js'
export { expectNoLeaks } from './testing/leaks.js'
export {
  startDatabase,
  type DatabaseSource,
  type StartedDatabase,
  type StartDatabaseOptions,
} from './testing/start-database.js'
export {
  rollbackEach,
  withRollback,
  type RollbackEachOptions,
  type RollbackHooks,
  type RollbackOptions,
} from './testing/with-rollback.js'
