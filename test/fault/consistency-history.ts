/**
 * What the operations of a consistency run did and were told, and what the tables must hold because of it:
 *
 * - told "committed": every effect is stored exactly once;
 * - told "failed": no effect is stored, however often it was retried;
 * - told "unknown": either every effect is stored exactly once, or none, and no retry was advised;
 * - money is moved and never made, lists only grow at their end, in the order in which appends were told;
 * - `afterCommit` ran once if the operation was told "committed", and never otherwise;
 * - a notification was delivered if and only if its transaction was committed;
 * - nothing is told "committed" while no standby can confirm it.
 */

/** What an operation was told about its effects. */
export type Told = 'committed' | 'failed' | 'unknown'

/** The items of a list as one statement saw them. */
interface Observation {
  readonly list: number
  readonly items: readonly number[]
}

/** One call of the workload. Its number is also the token by which everything that it stores is found again. */
export class Operation {
  readonly number: number
  readonly kind: string
  readonly startedAt: number
  endedAt = Infinity
  told: Told | undefined
  /** What it stores if it is committed: a name for each row or list item. */
  effects: readonly string[] = []
  /** Runs of its block, and how often its `afterCommit` hook ran, if it had one. */
  attempts = 0
  hooked = false
  hookRuns = 0
  /** The channel's epoch in which it began, if it notifies. */
  notifiesIn: number | undefined
  observations: Observation[] = []
  /** What it has seen by itself that cannot be. */
  readonly complaints: string[] = []
  /** Ends it from outside. */
  readonly ending = new AbortController()
  readonly #history: History
  readonly #lines: string[] = []

  constructor(history: History, number: number, kind: string) {
    this.#history = history
    this.number = number
    this.kind = kind
    this.startedAt = history.tick()
  }

  log(line: string): void {
    this.#lines.push(`${String(this.#history.tick())} ${line}`)
  }

  end(told: Told, why: string): void {
    this.told = told
    this.endedAt = this.#history.tick()
    this.#lines.push(`${String(this.endedAt)} told ${told}: ${why}`)
  }

  get lines(): readonly string[] {
    return this.#lines
  }
}

/** Everything that happened, on one logical clock. */
export class History {
  readonly operations = new Map<number, Operation>()
  readonly faults: { readonly at: number; readonly text: string }[] = []
  /** When no COMMIT of a write could be confirmed, because the standby was gone. */
  readonly unconfirmed: { readonly from: number; to: number }[] = []
  #now = 0

  tick(): number {
    return ++this.#now
  }

  begin(number: number, kind: string): Operation {
    const operation = new Operation(this, number, kind)
    this.operations.set(number, operation)
    return operation
  }

  fault(text: string): void {
    this.faults.push({ at: this.tick(), text })
  }

  /** From now on COMMIT is confirmed. */
  confirm(): void {
    const last = this.unconfirmed.at(-1)
    if (last?.to === Infinity) last.to = this.tick()
  }

  /** The story of one operation, with the faults that fell into its time and the one before. */
  story(operation: Operation): string {
    const { number, kind, startedAt, endedAt } = operation
    const before = this.faults.filter(({ at }) => at < startedAt).slice(-1)
    const during = this.faults.filter(({ at }) => at >= startedAt && at <= endedAt)
    const faults = [...before, ...during].map(({ at, text }) => `${String(at)} FAULT ${text}`)
    const lines = [...operation.lines, ...faults].sort((one, other) => parseInt(one) - parseInt(other))
    return [`operation ${String(number)}, ${kind}, begun at ${String(startedAt)}`, ...lines].join('\n    ')
  }
}

/** What the tables and the listener hold when everything has ended. */
export interface Stored {
  /** By token: the name of each row or list item. */
  readonly effects: ReadonlyMap<number, readonly string[]>
  readonly lists: ReadonlyMap<number, readonly number[]>
  /** What is wrong with the balances, if anything. */
  readonly money: readonly string[]
  /** For each epoch of the channel (from LISTEN to the loss of its connection): the tokens in order of arrival. */
  readonly notified: readonly (readonly number[])[]
}

/** Something that was told or stored and must not have been. */
export interface Violation {
  readonly what: string
  readonly operation?: Operation | undefined
}

export function violationsOf(history: History, stored: Stored): Violation[] {
  const operations = [...history.operations.values()]
  return [
    ...stored.money.map((what) => ({ what })),
    ...operations.flatMap((operation) =>
      [
        ...operation.complaints,
        ...aboutEffects(operation, stored.effects.get(operation.number) ?? []),
        ...aboutHooks(operation),
        ...aboutStandby(operation, history),
      ].map((what) => ({ what, operation })),
    ),
    ...[...stored.effects.keys()]
      .filter((token) => !history.operations.has(token))
      .map((token) => ({ what: `token ${String(token)} is stored, and no operation has it` })),
    ...aboutLists(history, stored.lists),
    ...aboutNotifications(history, stored.notified),
  ]
}

function aboutEffects({ told, effects }: Operation, stored: readonly string[]): string[] {
  const count = (effect: string): number => stored.filter((one) => one === effect).length
  const strange = [...new Set(stored)].filter((effect) => !effects.includes(effect))
  const twice = effects.filter((effect) => count(effect) > 1)
  const there = effects.filter((effect) => count(effect) > 0)
  const found = `${String(there.length)} of ${String(effects.length)} effects are stored`
  return [
    ...(told === undefined ? ['it never ended'] : []),
    ...strange.map((effect) => `${effect} is stored, and was undone or never written`),
    ...(twice.length > 0 ? [`stored more than once: ${twice.join(', ')}`] : []),
    ...(there.length > 0 && there.length < effects.length ? [`not whole: ${found}`] : []),
    ...(told === 'committed' && there.length < effects.length ? [`told committed, ${found}`] : []),
    ...(told === 'failed' && there.length > 0 ? [`told failed, ${found}`] : []),
  ]
}

function aboutHooks({ told, hooked, hookRuns }: Operation): string[] {
  if (!hooked) return []
  const expected = told === 'committed' ? 1 : 0
  if (hookRuns === expected) return []
  return [`told ${String(told)}, and afterCommit ran ${String(hookRuns)} times`]
}

function aboutStandby({ told, effects, startedAt, endedAt }: Operation, history: History): string[] {
  const inside = history.unconfirmed.some(({ from, to }) => from < startedAt && endedAt < to)
  if (told !== 'committed' || effects.length === 0 || !inside) return []
  return ['told committed while the standby was gone: a failover loses it']
}

function aboutLists(history: History, lists: Stored['lists']): Violation[] {
  const found: Violation[] = []
  const toldAfter = new Map<number, readonly number[]>()
  for (const [list, items] of lists) {
    // For each position: when the first append behind it was told to be committed.
    const earliest = new Array<number>(items.length + 1).fill(Infinity)
    for (let at = items.length - 1; at >= 0; at--) {
      const operation = history.operations.get(items[at] ?? 0)
      const toldAt = operation?.told === 'committed' ? operation.endedAt : Infinity
      earliest[at] = Math.min(earliest[at + 1] ?? Infinity, toldAt)
      if (operation !== undefined && (earliest[at + 1] ?? Infinity) < operation.startedAt) {
        found.push({ operation, what: `list ${String(list)} has it before an append that was told earlier` })
      }
    }
    toldAfter.set(list, earliest)
  }
  for (const operation of history.operations.values()) {
    // What an undone transaction has seen may have been its own.
    if (operation.told !== 'committed') continue
    for (const { list, items } of operation.observations) {
      const final = lists.get(list) ?? []
      if (items.some((item, at) => final[at] !== item)) {
        found.push({
          operation,
          what: `it read ${String(items)} from list ${String(list)}, no prefix of ${String(final)}`,
        })
      } else if ((toldAfter.get(list)?.[items.length] ?? Infinity) < operation.startedAt) {
        found.push({
          operation,
          what: `it read list ${String(list)} without an append that was told before it began`,
        })
      }
    }
  }
  return found
}

function aboutNotifications(history: History, notified: Stored['notified']): Violation[] {
  const found: Violation[] = []
  const heard = notified.map((tokens) => {
    const times = new Map<number, number>()
    for (const token of tokens) times.set(token, (times.get(token) ?? 0) + 1)
    return times
  })
  // In each epoch: when the last operation began whose notification came. What was told before has been delivered before.
  const horizon = notified.map((tokens) =>
    Math.max(0, ...tokens.map((token) => history.operations.get(token)?.startedAt ?? 0)),
  )
  for (const operation of history.operations.values()) {
    const { number, notifiesIn: epoch, told, endedAt } = operation
    if (epoch === undefined) continue
    const most = Math.max(0, ...heard.map((times) => times.get(number) ?? 0))
    if (told === 'failed' && most > 0) found.push({ operation, what: 'told failed, and notified' })
    if (most > 1) found.push({ operation, what: `notified ${String(most)} times` })
    const due = told === 'committed' && endedAt < (horizon[epoch] ?? 0)
    if (due && !(heard[epoch]?.has(number) ?? false)) {
      found.push({ operation, what: 'told committed, and never notified' })
    }
  }
  return found
}
