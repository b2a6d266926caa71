/** What clients of pg's interface have whatever runs their queries: type parsers, escaping, and members of the types of pg only. */
import { EventEmitter } from 'node:events'
import type { Readable, Writable } from 'node:stream'

import type { TypeParser } from '../../driver/driver.js'
import type { NodePostgres } from '../../driver/node-postgres.js'
import { Engine, IllegalStateError } from '../../index.js'

type TypeOverrides = InstanceType<NodePostgres['TypeOverrides']>

export abstract class ClientMembers extends EventEmitter {
  // In the types of pg only.
  declare copyFrom: (text: string) => Writable
  declare copyTo: (text: string) => Readable
  declare pauseDrain: () => void
  declare resumeDrain: () => void
  #types: TypeOverrides | undefined

  /** What `setTypeParser` was called for; undefined if it was not. */
  get ownTypes(): TypeOverrides | undefined {
    return this.#types
  }

  connect(callback?: (error: Error, client?: unknown) => void): never {
    const error = new IllegalStateError('Client has already been connected. You cannot reuse a client.')
    if (callback === undefined) return Promise.reject(error) as never
    process.nextTick(callback, error)
    return undefined as never
  }

  setTypeParser(...parameters: readonly unknown[]): void {
    this.#typesToChange().setTypeParser(...parameters)
  }

  getTypeParser(oid: number, format?: 'text'): TypeParser {
    return this.#typesToChange().getTypeParser(oid, format)
  }

  escapeIdentifier(text: string): string {
    return Engine.nodePostgres.escapeIdentifier(text)
  }

  escapeLiteral(text: string): string {
    return Engine.nodePostgres.escapeLiteral(text)
  }

  #typesToChange(): TypeOverrides {
    const { TypeOverrides, types } = Engine.nodePostgres
    return (this.#types ??= new TypeOverrides(types))
  }

  static {
    // `instanceof pg.Client`, for what tells clients apart by that.
    Object.setPrototypeOf(this.prototype, Engine.nodePostgres.Client.prototype)
  }
}
