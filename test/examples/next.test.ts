/**
 * The example for Next.js, without Next: its modules are evaluated twice in one process, beside one `lifeguard`, as a hot reload does
 * (`serverExternalPackages` keeps the package itself out of reloads).
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { sharedEngine } from '../../src/integrations/serverless.js'
import { useDatabase } from '../integration/session-support.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const fixture = useDatabase('create table notes (id serial primary key, text text not null unique)')
const folders: string[] = []
beforeAll(() => vi.stubEnv('DATABASE_URL', fixture.db.url))
afterAll(async () => {
  await sharedEngine(settings()).dispose()
  vi.unstubAllEnvs()
  for (const folder of folders) rmSync(folder, { recursive: true })
})

/** The options of `examples/next/db.ts`. */
const settings = () => ({ url: fixture.db.url, poolSize: 3, maxOverflow: 0 })

type Handler = (request: Request) => Promise<Response>

/** The modules of the example: `tsconfig.next.json` has the rules of Next for their imports. */
interface Evaluation {
  readonly notes: { readonly GET: Handler; readonly POST: Handler }
  readonly health: { readonly GET: () => Promise<Response> }
  readonly entities: { readonly Note: unknown }
}

async function evaluate(): Promise<Evaluation> {
  mkdirSync(`${ROOT}.cache`, { recursive: true })
  const folder = mkdtempSync(`${ROOT}.cache/next-`)
  folders.push(folder)
  cpSync(`${ROOT}examples/next`, folder, { recursive: true })
  return {
    notes: (await import(`${folder}/app/notes/route.ts`)) as Evaluation['notes'],
    health: (await import(`${folder}/app/health/route.ts`)) as Evaluation['health'],
    entities: (await import(`${folder}/entities.ts`)) as Evaluation['entities'],
  }
}

const url = 'http://localhost/notes'
const posted = (text: string): Request => new Request(url, { method: 'POST', body: text })

test('modules that are evaluated again have entities of their own, and the engine of the first time', async () => {
  const before = await evaluate()
  expect((await before.notes.POST(posted('a'))).status).toBe(201)
  const after = await evaluate()
  expect(after.entities.Note).not.toBe(before.entities.Note)
  expect((await after.notes.POST(posted('b'))).status).toBe(201)
  expect((await after.notes.POST(posted('a'))).status).toBe(409)
  for (const { notes, health } of [before, after]) {
    expect(await (await notes.GET(new Request(url))).json()).toEqual(['a', 'b'])
    expect((await health.GET()).status).toBe(200)
  }
  const requests = [before, after].flatMap(({ notes }) =>
    Array.from({ length: 20 }, () => notes.GET(new Request(url))),
  )
  expect(new Set((await Promise.all(requests)).map(({ status }) => status))).toEqual(new Set([200]))
  const others = 'from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()'
  const [row] = await fixture.db.query<{ n: number }>(`select count(*)::int as n ${others}`)
  expect(row?.n).toBeLessThanOrEqual(3)
  expect(sharedEngine(settings()).stats().size).toBeGreaterThan(0)
})
