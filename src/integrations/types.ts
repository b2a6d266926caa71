/**
 * `lifeguard/types`: types of PostgreSQL that most programs do not use, and conditions on them. They are in a subpath so that
 * `lifeguard` itself stays small.
 */
export { cidr, inet, macaddr, macaddr8 } from './types/network.js'
export { bit, money, otherType, tsquery, tsvector, varbit, xml } from './types/text-types.js'
export type { BitOptions } from './types/text-types.js'
export { box, circle, line, lseg, path, point, polygon } from './types/geometry.js'
export type { Box, Circle, Line, Path, Point, Segment } from './types/geometry.js'
export {
  datemultirange,
  daterange,
  int4multirange,
  int4range,
  int8multirange,
  int8range,
  nummultirange,
  numrange,
  rangeType,
  tsmultirange,
  tsrange,
  tstzmultirange,
  tstzrange,
} from './types/ranges.js'
export type { RangeTypes } from './types/ranges.js'
export { emptyRange, range } from './types/range.js'
export type { Bounds, Range } from './types/range.js'
export { compositeType, domainType } from './types/declared-types.js'
export type { CompositeValue, DomainOptions } from './types/declared-types.js'
export { citext, hstore, vector } from './types/extension-types.js'
export type { ExtensionOptions, VectorOptions } from './types/extension-types.js'
export { temporalTypes } from './types/temporal.js'
export type { TemporalApi, TemporalTypes } from './types/temporal.js'
export { adjacentTo, containedBy, contains, distance, hasKey, matches, overlaps } from './types/conditions.js'
export type { Contained, DistanceMetric, MatchOptions } from './types/conditions.js'
