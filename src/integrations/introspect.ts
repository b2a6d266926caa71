/**
 * `lifeguard/introspect`: entities from a database, and whether entities and a database still agree. The command `lifeguard` does the same
 * from a shell. Nothing here ever changes a database.
 */
export { introspect } from './introspect/introspect.js'
export type { Introspection, IntrospectOptions } from './introspect/introspect.js'
export type { Finding } from './introspect/findings.js'
export type { GeneratedFile, Layout } from './introspect/layout.js'
export { customLines, isGenerated } from './introspect/marked-places.js'
export { SchemaNotFound } from './introspect/catalog-reader.js'
export { checkEntities } from './check/check.js'
export type { CheckOptions, CheckReport, Difference } from './check/check.js'
