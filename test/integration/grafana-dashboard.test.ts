/** The dashboard in docs/ asks for metrics and labels that `lifeguard/prometheus` exports, and for nothing else. */
import { readFileSync } from 'node:fs'
import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { createSessionFactory, declarativeBase, serial, text, type Session } from '../../src/index.js'
import { collect } from '../../src/integrations/prometheus.js'
import { useDatabase } from './session-support.js'

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number }
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

const file = new URL('../../docs/grafana-dashboard.json', import.meta.url)
const dashboard = JSON.parse(readFileSync(file, 'utf8')) as { readonly panels: readonly Panel[] }
const charts = dashboard.panels.filter(({ type }) => type !== 'row')
const expressions = charts.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))

const Base = declarativeBase()
class Song extends Base.entity('songs', { id: serial().primaryKey(), title: text().notNull() }) {}
const fixture = useDatabase('create table songs (id serial primary key, title text not null)')

const RETRYABLE = "do $$ begin raise exception using errcode = '40001'; end $$"

/** Names of the samples of a scrape with their labels. */
async function exported(): Promise<Map<string, Set<string>>> {
  const register = new Registry()
  const engine = fixture.engine({ name: 'main' })
  collect(engine, { register })
  const { withSession } = createSessionFactory({ bind: engine })
  await withSession((session) => session.add(new Song({ title: 'Blue' })))
  let attempts = 0
  const failsOnce = (session: Session): Promise<unknown> =>
    session.execute(attempts++ === 0 ? RETRYABLE : 'select 1')
  await withSession(failsOnce, { retry: { attempts: 2 } })
  const samples = new Map<string, Set<string>>()
  for (const line of (await register.metrics()).split('\n')) {
    const [, name, labels = ''] = /^(\w+)\{(.*)\} /.exec(line) ?? []
    if (name !== undefined)
      samples.set(name, new Set([...labels.matchAll(/(\w+)="/g)].map(([, label = '']) => label)))
  }
  return samples
}

test('each metric and label that it asks for is exported, and each exported metric is shown', async () => {
  const samples = await exported()
  expect(expressions.length).toBeGreaterThan(20)
  const shown = new Set<string>()
  for (const expression of expressions) {
    for (const [, name = '', selector = ''] of expression.matchAll(/(lifeguard_\w+)\{([^}]*)\}/g)) {
      shown.add(name.replace(/_(bucket|count|sum)$/, ''))
      expect([...samples.keys()]).toContain(name)
      const asked = [...selector.matchAll(/(\w+)(?:=~|!=|=)"/g)].map(([, label = '']) => label)
      const grouped = [...expression.matchAll(/by \(([\w, ]+)\)/g)].flatMap(([, by = '']) => by.split(', '))
      for (const label of [...asked, ...grouped]) expect([...(samples.get(name) ?? [])]).toContain(label)
    }
  }
  const families = new Set([...samples.keys()].map((name) => name.replace(/_(bucket|count|sum)$/, '')))
  expect([...families].filter((name) => !shown.has(name))).toEqual([])
})

test('brackets and quotes of each expression are in pairs, and every chart says when to act', () => {
  for (const expression of expressions) {
    const bare = expression.replace(/"[^"]*"/g, '')
    expect(bare).not.toContain('"')
    for (const [open, close] of ['()', '{}', '[]'] as const)
      expect([expression, bare.split(open as string).length]).toEqual([
        expression,
        bare.split(close as string).length,
      ])
  }
  for (const { title, description } of charts)
    expect([title, description?.endsWith('.')]).toEqual([title, true])
})

test('charts have numbers of their own and do not overlap', () => {
  const { panels } = dashboard
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
  const cells = panels.flatMap(({ gridPos: { h, w, x, y } }) =>
    Array.from({ length: h * w }, (_, index) => `${x + (index % w)}:${y + Math.floor(index / w)}`),
  )
  expect(new Set(cells).size).toBe(cells.length)
})
