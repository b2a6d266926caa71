/**
 * What the current asynchronous call is part of: which session's block, which savepoint's.
 *
 * One AsyncLocalStorage serves the process, also when the package is loaded twice (import and require).
 */
import { AsyncLocalStorage } from 'node:async_hooks'

/** A link of the chain: `value` belongs to `owner`, the blocks around it follow. */
interface Link {
  readonly owner: object
  readonly value: object
  readonly outer: Link | undefined
}

const KEY = Symbol.for('lifeguard.ambient')

function storage(): AsyncLocalStorage<Link> {
  const holder = globalThis as { [KEY]?: AsyncLocalStorage<Link> }
  return (holder[KEY] ??= new AsyncLocalStorage())
}

/** Something that the current call is part of. */
export interface Ambient {
  readonly owner: object
  readonly value: object
}

/**
 * Calls `work`; within it, and whatever it starts, `ambientOf(owner)` is `value`.
 * @param inner A second one, inside the first: cheaper than another call.
 */
export function runAmbient<Value>(owner: object, value: object, work: () => Value, inner?: Ambient): Value {
  const store = storage()
  let link: Link = { owner, value, outer: store.getStore() }
  if (inner !== undefined) link = { owner: inner.owner, value: inner.value, outer: link }
  return store.run(link, work)
}

/** The outermost block around the current call: the same object for whatever one flow of control does; undefined outside. */
export function ambientFlow(): object | undefined {
  let flow = storage().getStore()
  while (flow?.outer !== undefined) flow = flow.outer
  return flow
}

/** The innermost value that belongs to `owner`, if the current call is inside a block of it. */
export function ambientOf(owner: object): object | undefined {
  for (let link = storage().getStore(); link !== undefined; link = link.outer) {
    if (link.owner === owner) return link.value
  }
  return undefined
}
