/** The state that all batches of one connection share. */
import type { OpenPortal } from './batch-step.js'
import type { TypeParsers } from './driver.js'
import type { SchemaView } from './schema-view.js'
import type { StatementCache } from './statement-cache.js'
import type { StatementPolicy } from './statement-policy.js'
import type { WireConnection } from './wire-connection.js'
import type { WireWriter } from './wire-writer.js'

/** What a batch needs from its connection. */
export interface BatchContext {
  readonly wire: WireConnection
  readonly writer: WireWriter
  readonly cache: StatementCache
  readonly policy: StatementPolicy
  /** Follows the changes of the schema and of settings that change what names in statements mean. */
  readonly view: SchemaView
  readonly types: TypeParsers
  /** The named portals that are open, for the rows that are fetched from them later. */
  readonly portals: Map<string, OpenPortal>
}
