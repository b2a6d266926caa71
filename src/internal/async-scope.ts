/**
 * Async scopes: which session's block, and which savepoint's block, the current asynchronous call is part of.
 *
 * One AsyncLocalStorage is used in the whole process, also when the package is loaded twice.
 */
import { AsyncLocalStorage } from 'node:async_hooks'

/** A scope is dropped once it is `closed`. A block that has only returned is not closed yet. */
export interface Closable {
  readonly closed?: boolean
}

/** A link of the chain: the values of one or two owners that end together, and the links of the blocks around it. */
interface Link {
  readonly owner: object
  readonly value: object
  readonly innerOwner: object | undefined
  readonly innerValue: object | undefined
  outer: Link | undefined
  /** The same object for all links of one flow of control; holds nothing. */
  readonly flow: object
}

/** An object of a class without fields is half the size of `{}`. */
class Flow {}

const KEY = Symbol.for('lifeguard.ambient')

function storage(): AsyncLocalStorage<Link> {
  const holder = globalThis as { [KEY]?: AsyncLocalStorage<Link> }
  return (holder[KEY] ??= new AsyncLocalStorage())
}

/** A scope that an asynchronous call runs in: a value, and the object that finds it again. */
export interface AsyncScope {
  readonly owner: object
  readonly value: object
}

/**
 * Calls `work`; within it, and in all that it starts, `scopeValueOf(owner)` is `value`.
 * @param inner A second one, inside the first: one link for both, because a block that waits for a connection keeps it.
 */
export function runInScope<Value>(
  owner: object,
  value: object,
  work: () => Value,
  inner?: AsyncScope,
): Value {
  const store = storage()
  const outer = stillOpen(store.getStore(), owner, inner?.owner)
  const flow = outer?.flow ?? new Flow()
  const link: Link = { owner, value, innerOwner: inner?.owner, innerValue: inner?.value, outer, flow }
  return store.run(link, work)
}

/**
 * The chain without closed links. For Node, a block that a timer of an ended block starts is inside that block. If each block
 * starts the next one in this way, the chain would grow without end and keep all of them alive.
 * @param owner The owner of the next link, and its inner one. Links at the front are dropped if the next link hides all that they say.
 */
function stillOpen(start: Link | undefined, owner: object, innerOwner: object | undefined): Link | undefined {
  const isHidden = (link: Link): boolean =>
    link.owner === owner && (link.innerOwner === undefined || link.innerOwner === innerOwner)
  let first = start
  while (first !== undefined && (isHidden(first) || isClosed(first))) first = first.outer
  for (let link = first; link !== undefined; link = link.outer) {
    while (link.outer !== undefined && isClosed(link.outer)) link.outer = link.outer.outer
  }
  return first
}

function isClosed({ owner, value }: { readonly owner: Closable; readonly value: Closable }): boolean {
  return owner.closed === true || value.closed === true
}

/** One object for each flow of control; undefined outside of every block. */
export function currentFlow(): object | undefined {
  return storage().getStore()?.flow
}

/** The innermost value that belongs to `owner`, if the current call is inside a block of it. */
export function scopeValueOf(owner: object): object | undefined {
  for (let link = storage().getStore(); link !== undefined; link = link.outer) {
    if (link.innerOwner === owner) return link.innerValue
    if (link.owner === owner) return link.value
  }
  return undefined
}

/** The values of all scopes around the current call, the innermost first. */
export function currentScopes(): readonly object[] {
  const values: object[] = []
  for (let link = storage().getStore(); link !== undefined; link = link.outer) {
    if (isClosed(link)) continue
    if (link.innerValue !== undefined) values.push(link.innerValue)
    values.push(link.value)
  }
  return values
}
