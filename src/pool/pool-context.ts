/** The state that all parts of one pool share. */
import type { Driver } from '../driver/driver.js'
import type { Clock } from '../internal/clock.js'
import type { Emitter } from '../internal/emitter.js'
import type { PoolEvents } from './events.js'
import type { ResolvedPoolOptions } from './options.js'
import type { CallSites } from './call-site.js'
import type { Limits } from './limits.js'
import type { Slots } from './slots.js'
import type { Statistics } from './stats.js'

export interface PoolContext {
  readonly name: string
  /** See `PoolParts`. */
  readonly engineId: number
  readonly driver: Driver
  readonly clock: Clock
  readonly options: ResolvedPoolOptions
  readonly events: Emitter<PoolEvents>
  readonly statistics: Statistics
  readonly slots: Slots
  /** `resize()` replaces them. */
  limits: Limits
  /** Notes where connections are asked for; undefined without `captureStacks`. */
  readonly callSites: CallSites | undefined
}
