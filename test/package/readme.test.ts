/** The quick start of the packed README, as a user pastes it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestDatabase, startDatabase } from '../../src/integrations/testing.js'
import { blocksOf } from '../docs/blocks.js'
import { type InstalledPackage, installPackage } from './installed.js'

let installed: InstalledPackage
beforeAll(async () => {
  installed = await installPackage()
})
afterAll(() => installed.remove())

test.each([
  ['quickstart.mjs', 'node'],
  ['quickstart.mts', 'tsx'],
  ['module/quickstart.ts', 'tsx'],
] as const)('the quick start of the README runs when it is pasted into %s', async (path, runner) => {
  const [quickstart] = blocksOf(
    readFileSync(join(installed.folder, 'node_modules/lifeguard/README.md'), 'utf8'),
  )
  await using server = await startDatabase()
  await using database = await createTestDatabase(server.url)
  const file = join(installed.folder, path)
  mkdirSync(dirname(file), { recursive: true })
  if (path.startsWith('module/')) writeFileSync(join(dirname(file), 'package.json'), '{ "type": "module" }')
  writeFileSync(file, quickstart?.code ?? '')
  expect(await installed.run(runner, file, { DATABASE_URL: database.url })).toBe('Help!\n')
})
