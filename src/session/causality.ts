/**
 * What a causal flow has written, as a position in the write-ahead log: its later reads must not show an earlier state.
 *
 * 1. Of two positions the later one counts; a position on a later timeline is later.
 * 2. If a position cannot be compared (it is of another cluster, or unknown), the primary is read.
 * 3. A position does not include a write that may have been stored after the query for the position was sent. So it replaces an
 *    unknown position only if the query was sent after that write.
 */
import type { WalPosition } from '../internal/wal-position.js'

/** How far a server has to be; `primary` if no replica can be asked; undefined if any will do. */
export type Needed = WalPosition | 'primary' | undefined

/** Takes the answer to a query for a position: undefined if there was none. */
export type PositionAnswer = (position: WalPosition | undefined) => void

/**
 * The most flows around a flow. A worker that begins each round in the flow of the round before makes a chain that never ends. A flow
 * beyond this is no longer in those around it, except the outermost one.
 */
const DEEPEST = 32

/** What one causal flow has seen. */
export class Causality {
  /** The flow around this one. It learns of every write, because its code may await this flow. */
  readonly #outer: Causality | undefined
  /** The outermost flow around this one. */
  readonly #root: Causality
  /** Number of flows around this one. */
  readonly #depth: number
  /** True: writes of the outer flow count here, too. */
  readonly #isPartOfOuter: boolean
  #position: WalPosition | undefined = undefined
  #isUnknown = false
  /** Number of positions that could not be compared. */
  #unknowns = 0
  #isLocated = false
  /** Number of changes. */
  #changes = 0

  constructor(outer?: Causality, { isPart = false }: { readonly isPart?: boolean } = {}) {
    this.#root = outer === undefined ? this : outer.#root
    this.#outer = outer !== undefined && outer.#depth >= DEEPEST ? outer.#root : outer
    this.#depth = this.#outer === undefined ? 0 : this.#outer.#depth + 1
    this.#isPartOfOuter = isPart
  }

  /** True: the primary has told a position. */
  get isLocated(): boolean {
    return this.#isLocated
  }

  get needed(): Needed {
    const own = this.#isUnknown ? 'primary' : this.#position
    return this.#isPartOfOuter ? laterOf(own, this.#outer?.needed) : own
  }

  /** The latest known position. A server on an older timeline lacks it also where the position of a later write is unknown. */
  get latest(): WalPosition | undefined {
    if (!this.#isPartOfOuter) return this.#position
    const later = laterOf(this.#position, this.#outer?.latest)
    return later === 'primary' ? this.#position : later
  }

  /** The token for another process; undefined as long as nothing is written. After an unknown position it means the primary. */
  get token(): string | undefined {
    const { needed } = this
    if (needed === undefined) return undefined
    if (needed === 'primary') return encode(PRIMARY)
    const { system, timeline, lsn } = needed
    return encode([VERSION, system, timeline, lsn.toString(36)].join('.'))
  }

  /** Adds what another flow has written. */
  add(other: Needed): void {
    if (other === undefined) return
    this.#changes += 1
    const later = laterOf(this.#position, other)
    if (later === 'primary') this.#cannotCompare()
    else this.#position = later
  }

  /** A write is sent, followed by a query for its position. @returns the function that takes the answer. */
  readonly storing = (): PositionAnswer => {
    const before = this.#unknowns
    const tellOuter = this.#outer?.storing()
    return (position) => {
      tellOuter?.(position)
      this.#stored(position, before)
    }
  }

  /**
   * A query for the primary's position is sent before a read. The primary has everything that was written until then (or has lost
   * it), so the answer replaces what was known when the query was sent.
   */
  reading(): PositionAnswer {
    const before = this.#unknowns
    const changes = this.#changes
    const tellOuter = this.#outer?.reading()
    return (position) => {
      if (position === undefined) return
      this.#isLocated = true
      tellOuter?.(position)
      // A primary that was superseded, which a flow inside has read from: it lacks what this flow has seen.
      if (this.#isOlder(position)) return
      if (changes !== this.#changes) return this.#stored(position, before)
      this.#replace(position)
    }
  }

  /** @param before The value of `#unknowns` when the query was sent. */
  #stored(position: WalPosition | undefined, before: number): void {
    this.#isLocated ||= position !== undefined
    if (position === undefined) {
      this.#changes += 1
      this.#cannotCompare()
    } else if (this.#isUnknown && before === this.#unknowns) this.#replace(this.#later(position))
    else this.add(position)
  }

  #isOlder({ system, timeline }: WalPosition): boolean {
    return this.#position?.system === system && timeline < this.#position.timeline
  }

  /** The later position; the new one if the known one is of another cluster. */
  #later(position: WalPosition): WalPosition {
    const later = laterOf(this.#position, position)
    return later === 'primary' || later === undefined ? position : later
  }

  #replace(position: WalPosition): void {
    this.#changes += 1
    this.#position = position
    this.#isUnknown = false
  }

  #cannotCompare(): void {
    this.#unknowns += 1
    this.#isUnknown = true
  }
}

const VERSION = '1'
const PRIMARY = `${VERSION}.primary`
const TOKEN = /^1\.(\d{1,20})\.(\d{1,10})\.([0-9a-z]{1,13})$/
const LONGEST_TOKEN = 100
const GREATEST_LSN = 2n ** 64n - 1n
const GREATEST_TIMELINE = 2 ** 32 - 1

/** Reads a token. Anything else, and a token of another version, means the primary. */
export function readToken(token: string): Needed {
  if (token.length > LONGEST_TOKEN) return 'primary'
  const [, system, timeline, digits] = TOKEN.exec(Buffer.from(token, 'base64url').toString('latin1')) ?? []
  if (system === undefined || timeline === undefined || digits === undefined) return 'primary'
  const position = { system, timeline: Number(timeline), lsn: fromBase36(digits) }
  return position.lsn > GREATEST_LSN || position.timeline > GREATEST_TIMELINE ? 'primary' : position
}

/** A timeline of a cluster. */
export type Timeline = Pick<WalPosition, 'system' | 'timeline'>

/**
 * The timeline that the primary must have reached to show a flow what it has seen; undefined if any will do. A token alone proves no
 * later timeline, because it can be forged: a server of the cluster must have shown that timeline to this process.
 */
export function shownTimeline(
  latest: WalPosition | undefined,
  seen: readonly WalPosition[],
): Timeline | undefined {
  const timelines = seen.filter(({ system }) => system === latest?.system).map(({ timeline }) => timeline)
  if (latest === undefined || timelines.length === 0) return undefined
  return { system: latest.system, timeline: Math.min(latest.timeline, Math.max(...timelines)) }
}

function encode(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64url')
}

function fromBase36(digits: string): bigint {
  let value = 0n
  for (const digit of digits) value = value * 36n + BigInt(Number.parseInt(digit, 36))
  return value
}

function laterOf(one: Needed, other: Needed): Needed {
  if (one === undefined || other === 'primary') return other
  if (other === undefined || one === 'primary') return one
  if (one.system !== other.system) return 'primary'
  if (one.timeline !== other.timeline) return one.timeline > other.timeline ? one : other
  return one.lsn >= other.lsn ? one : other
}
