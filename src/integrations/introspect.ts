/**
 * `lifeguard/introspect`: generates entities from a database, and checks that entities and a database agree. The command `lifeguard`
 * does the same from a shell. Neither changes the database.
 */
export { introspect } from './introspect/introspect.js'
export type { Introspection, IntrospectOptions } from './introspect/introspect.js'
export type { Finding } from './introspect/findings.js'
export type { GeneratedFile, Layout } from './introspect/layout.js'
export { customLines, isGenerated } from './introspect/marked-places.js'
export { SchemaNotFound } from './introspect/catalog-reader.js'
export { checkEntities } from './check/check.js'
export type { CheckOptions, CheckReport, Difference } from './check/check.js'
