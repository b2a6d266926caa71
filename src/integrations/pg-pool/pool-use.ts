/** What a pool waits for at its end. */
export class PoolUse {
  /** Waits for released clients as well: the connections go on. */
  readonly #awaitsClients: boolean
  #acquiring = 0
  #borrowed = 0
  #onQuiet: (() => void) | undefined

  constructor({ awaitsClients }: { readonly awaitsClients: boolean }) {
    this.#awaitsClients = awaitsClients
  }

  /** A caller begins to wait for a client. */
  asked(): void {
    this.#acquiring++
  }

  /** It has one, or will not get one. */
  answered(): void {
    this.#acquiring--
    this.#settle()
  }

  borrowed(): void {
    this.#borrowed++
  }

  returned(): void {
    this.#borrowed--
    this.#settle()
  }

  /** Resolves when there is nothing left to wait for. */
  quiet(): Promise<void> {
    return new Promise((resolve) => {
      this.#onQuiet = resolve
      this.#settle()
    })
  }

  #settle(): void {
    if (this.#acquiring === 0 && (!this.#awaitsClients || this.#borrowed === 0)) this.#onQuiet?.()
  }
}
