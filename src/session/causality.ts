/**
 * What a flow of control has written, as a position in the write-ahead log: its later reads must not show less.
 *
 * 1. Positions only grow; of two, the one that is further counts.
 * 2. A position that cannot be compared (of another cluster, or not known) means: ask the primary.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { WalPosition } from '../internal/wal-position.js'

/** How far a server has to be; `primary` if no replica can be asked; undefined if any will do. */
export type Needed = WalPosition | 'primary' | undefined

/** What one flow of control has seen. */
export class Causality {
  #needed: Needed = undefined

  get needed(): Needed {
    return this.#needed
  }

  /** For another process; undefined as long as nothing is written. A position that is not known gives a token that means the primary. */
  get token(): string | undefined {
    if (this.#needed === undefined) return undefined
    if (this.#needed === 'primary') return encode(PRIMARY)
    const { system, timeline, lsn } = this.#needed
    return encode([VERSION, system, timeline, lsn.toString(36)].join('.'))
  }

  /** Something was written, by this flow or by one whose token it has. */
  add(other: Needed): void {
    this.#needed = furtherOf(this.#needed, other)
  }

  /** A write was stored. A position that is known replaces one that was not: the log goes on behind it. */
  readonly stored = (position: WalPosition | undefined): void => {
    if (position === undefined) this.#needed = 'primary'
    else if (this.#needed === 'primary') this.#needed = position
    else this.add(position)
  }
}

/** Finds the causality of the current flow of control. */
export class CausalFlows {
  readonly #storage = new AsyncLocalStorage<Causality>()

  /** Of the flow that calls; begins one if there is none, which everything that the caller does from now on is part of. */
  current(): Causality {
    const known = this.#storage.getStore()
    if (known !== undefined) return known
    const begun = new Causality()
    this.#storage.enterWith(begun)
    return begun
  }
}

const VERSION = '1'
const PRIMARY = `${VERSION}.primary`
const TOKEN = /^1\.(\d{1,20})\.(\d{1,10})\.([0-9a-z]{1,13})$/
const LONGEST_TOKEN = 100

/** Reads a token. What is no token, or of another version, means the primary. */
export function readToken(token: string): Needed {
  if (token.length > LONGEST_TOKEN) return 'primary'
  const [, system, timeline, lsn] = TOKEN.exec(Buffer.from(token, 'base64url').toString('latin1')) ?? []
  if (system === undefined || timeline === undefined || lsn === undefined) return 'primary'
  return { system, timeline: Number(timeline), lsn: fromBase36(lsn) }
}

function encode(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64url')
}

function fromBase36(digits: string): bigint {
  let value = 0n
  for (const digit of digits) value = value * 36n + BigInt(Number.parseInt(digit, 36))
  return value
}

function furtherOf(one: Needed, other: Needed): Needed {
  if (one === undefined || other === 'primary') return other
  if (other === undefined || one === 'primary') return one
  if (one.system !== other.system) return 'primary'
  if (one.timeline !== other.timeline) return one.timeline > other.timeline ? one : other
  return one.lsn >= other.lsn ? one : other
}
