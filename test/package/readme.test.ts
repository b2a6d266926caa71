/** The packed documents: their links, and the quick start of the README, as a user pastes it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
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

test('links of the documents lead to files of the package', () => {
  const root = join(installed.folder, 'node_modules', 'lifeguard')
  const documents = installed.tarball.files.filter((path) => path.endsWith('.md'))
  const dead = documents.flatMap((path) =>
    [...readFileSync(join(root, path), 'utf8').matchAll(/\]\(([^)#\s:]+)(?:#[^)]*)?\)/g)]
      .filter(([, target = '']) => !existsSync(join(root, dirname(path), target)))
      .map(([link]) => `${path}: ${link}`),
  )
  expect(dead).toEqual([])
})

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
