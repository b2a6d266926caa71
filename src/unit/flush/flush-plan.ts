/** What a flush has to write, and the plan for it: see plan.ts. */
import type { States } from '../identity-map.js'
import type { InstanceState } from '../instance-state.js'
import type { Guard } from '../tracked-instances.js'
import type { PropagatedKeys } from './key-propagation.js'
import type { AssignedKeys } from './lost-rows.js'
import type { Change, Insertion, LinkChanges, Removal } from './rows.js'
import type { Step } from './steps.js'

/** What a flush writes. */
export interface FlushPlan {
  readonly steps: readonly Step[]
  readonly insertions: readonly Insertion[]
  readonly changes: readonly Change[]
  readonly removals: readonly Removal[]
  /** Rows that are written twice: with foreign keys that are NULL for a while, and as they should be. */
  readonly completed: readonly { readonly state: InstanceState }[]
  /** Foreign keys that PostgreSQL changes in the rows of other objects. */
  readonly propagated: PropagatedKeys
  /** New objects that get the rows of deleted ones. They are among `insertions` and `removals`, too. */
  readonly switched: readonly Change[]
}

/** What has to be written. */
export interface FlushWork {
  readonly inserted: readonly InstanceState[]
  /** Objects that may have changed. */
  readonly tracked: States
  readonly deleted: readonly InstanceState[]
  /** What some of the deleted rows must still hold. */
  readonly guards: ReadonlyMap<InstanceState, Guard>
  /** Those whose rows are locked, and hold what they must. */
  readonly verified: ReadonlySet<InstanceState>
  /** Default: none. */
  readonly assigned?: AssignedKeys
  readonly links: readonly LinkChanges[]
}

/** The plan of a flush that finds nothing to write. */
export const EMPTY_PLAN: FlushPlan = {
  steps: [],
  insertions: [],
  changes: [],
  removals: [],
  completed: [],
  propagated: new Map(),
  switched: [],
}
