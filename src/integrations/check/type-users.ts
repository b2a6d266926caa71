/** What keeps PostgreSQL from changing the type of a column: views, triggers, policies, publications and generated columns that use it. */
import type { Connection } from '../../index.js'

/** Descriptions by `schema\0table\0column`. */
export type TypeUsers = ReadonlyMap<string, string>

export async function readTypeUsers(connection: Connection, schemas: readonly string[]): Promise<TypeUsers> {
  const result = await connection.execute<{ schema: string; table: string; column: string; users: string }>({
    text: `
      select n.nspname::text as schema, t.relname::text as "table", a.attname::text as "column",
        string_agg(distinct pg_describe_object(d.classid, d.objid, 0), ', ') as users
      from pg_catalog.pg_depend d
      join pg_catalog.pg_class t on t.oid = d.refobjid and d.refclassid = 'pg_catalog.pg_class'::regclass
      join pg_catalog.pg_namespace n on n.oid = t.relnamespace
      join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid and a.attnum > 0
      left join pg_catalog.pg_attrdef f on f.oid = d.objid and d.classid = 'pg_catalog.pg_attrdef'::regclass
      where n.nspname = any($1::text[])
        and (d.classid in ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_trigger'::regclass,
            'pg_catalog.pg_policy'::regclass, 'pg_catalog.pg_publication_rel'::regclass)
          or f.adrelid = t.oid and f.adnum <> a.attnum)
      group by 1, 2, 3`,
    values: [schemas],
  })
  return new Map(
    result.all().map(({ schema, table, column, users }) => [`${schema}\0${table}\0${column}`, users]),
  )
}
