/** Sorts by dependency, and finds cycles (Tarjan's strongly connected components). */

/**
 * Puts dependencies first. Nodes that depend on each other in a cycle form one group; every
 * other group has one node (which may depend on itself). Where nothing else decides, the given order is kept.
 *
 * @param dependenciesOf What must come before a node. Nodes that are not in the list are ignored.
 */
export function orderByDependency<Node>(
  nodes: readonly Node[],
  dependenciesOf: (node: Node) => Iterable<Node>,
): Node[][] {
  const groups: Node[][] = []
  const visits = new Map<Node, Visit<Node>>(
    nodes.map((node) => [node, { node, number: 0, lowest: 0, open: false, pending: undefined }]),
  )
  const open: Visit<Node>[] = []
  let visited = 0

  for (const root of visits.values()) {
    if (root.number > 0) continue
    // A stack of our own: a chain of dependencies may be longer than the call stack is deep.
    const path = [root]
    while (path.length > 0) {
      const visit = path[path.length - 1] as Visit<Node>
      if (visit.pending === undefined) {
        visit.number = visit.lowest = ++visited
        visit.open = true
        visit.pending = dependenciesOf(visit.node)[Symbol.iterator]()
        open.push(visit)
      }
      const next = visit.pending.next()
      if (next.done !== true) {
        const dependency = visits.get(next.value)
        if (dependency === undefined) continue
        if (dependency.number === 0) path.push(dependency)
        else if (dependency.open) visit.lowest = Math.min(visit.lowest, dependency.number)
        continue
      }
      path.pop()
      const parent = path[path.length - 1]
      if (parent !== undefined) parent.lowest = Math.min(parent.lowest, visit.lowest)
      if (visit.lowest === visit.number) groups.push(closeGroup(open, visit))
    }
  }
  return groups
}

interface Visit<Node> {
  readonly node: Node
  /** Order of the first visit, from 1. */
  number: number
  /** The earliest open node that can be reached from here. */
  lowest: number
  /** Its group is not complete yet. */
  open: boolean
  pending: Iterator<Node> | undefined
}

function closeGroup<Node>(open: Visit<Node>[], root: Visit<Node>): Node[] {
  const members = open.splice(open.lastIndexOf(root))
  for (const member of members) member.open = false
  return members.map(({ node }) => node)
}
