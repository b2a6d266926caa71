/** A server of a simulated cluster: what it has written or replayed, who is connected, and whether it answers. */

export const PAGE = 8192n
const HEADER = 24n

/** A write that is stored: `end` is where its record ends. */
export interface Entry {
  readonly id: number
  readonly end: bigint
}

export class SimulatedServer {
  readonly name: string
  timeline = 1
  isPrimary = false
  #state: 'up' | 'silent' | 'down' = 'up'
  /** What a silent server was sent: a server that stood still answers it when it goes on. */
  readonly #kept: (() => void)[] = []
  /** What it has replayed or written, in order. */
  readonly log: Entry[] = []
  /** How far it is, beyond its last entry: checkpoints and the like. */
  lsn = 1000n
  readonly connections = new Set<{ lose(): void }>()

  constructor(name: string) {
    this.name = name
  }

  /** What `pg_current_wal_insert_lsn()` says: behind the header of a page, if the last record ended with one. */
  get insertLsn(): bigint {
    return this.lsn % PAGE === 0n ? this.lsn + HEADER : this.lsn
  }

  /** `silent`: takes what it is sent, and does not answer before it is `up` again. */
  get state(): 'up' | 'silent' | 'down' {
    return this.#state
  }

  set state(state: 'up' | 'silent' | 'down') {
    this.#state = state
    if (state === 'up') for (const answer of this.#kept.splice(0)) answer()
  }

  /** Calls `answer` now, or when the server goes on; never for a server that is down. */
  whenUp(answer: () => void): void {
    if (this.#state === 'up') answer()
    else if (this.#state === 'silent') this.#kept.push(answer)
  }

  lose(): void {
    for (const connection of [...this.connections]) connection.lose()
  }
}
