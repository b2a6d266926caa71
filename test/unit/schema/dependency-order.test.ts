import fc from 'fast-check'
import { expect, test } from 'vitest'
import { orderByDependency } from '../../../src/schema/dependency-order.js'

function order(graph: Record<string, string[]>): string[] {
  return orderByDependency(Object.keys(graph), (node) => graph[node] ?? []).map((group) =>
    group.sort().join('+'),
  )
}

test('what is depended on comes first, otherwise the given order stays', () => {
  expect(order({ song: ['album'], tag: [], album: ['artist'], artist: [] })).toEqual([
    'artist',
    'album',
    'song',
    'tag',
  ])
})

test('nodes that depend on each other in a circle are one group', () => {
  expect(order({ a: ['b'], b: ['c'], c: ['a', 'd'], d: [], e: ['a'] })).toEqual(['d', 'a+b+c', 'e'])
})

test('a node may depend on itself and on what is not in the list', () => {
  expect(order({ a: ['a', 'elsewhere'] })).toEqual(['a'])
})

test('a long chain does not exhaust the call stack', () => {
  const nodes = Array.from({ length: 50_000 }, (_, index) => index)
  const groups = orderByDependency(nodes, (node) => (node + 1 < nodes.length ? [node + 1] : []))
  expect(groups[0]).toEqual([49_999])
})

test('in any graph, an edge that points to a later group does not exist', () => {
  const graphs = fc.array(fc.array(fc.nat(9), { maxLength: 4 }), { minLength: 1, maxLength: 10 })
  fc.assert(
    fc.property(graphs, (edges) => {
      const groups = orderByDependency([...edges.keys()], (node) => edges[node] ?? [])
      const position = new Map(groups.flatMap((group, index) => group.map((node) => [node, index])))
      expect([...position.keys()].sort((a, b) => a - b)).toEqual([...edges.keys()])
      for (const [node, targets] of edges.entries()) {
        for (const target of targets.filter((at) => at < edges.length)) {
          expect(position.get(target)).toBeLessThanOrEqual(position.get(node) as number)
          const together = position.get(target) === position.get(node)
          expect(together).toBe(node === target || reaches(edges, target, node))
        }
      }
    }),
  )
})

function reaches(edges: readonly number[][], from: number, to: number): boolean {
  const seen = new Set([from])
  for (const node of seen) for (const next of edges[node] ?? []) seen.add(next)
  return seen.has(to)
}
