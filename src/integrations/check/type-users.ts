/**
 * What keeps PostgreSQL from changing the type of a column, and from dropping it: views, rules, triggers, policies, publications, functions and
 * generated columns that use it, the partition key, the table that it is inherited from.
 */
import type { Connection } from '../../index.js'

/** Descriptions by `schema\0table\0column`. */
export type TypeUsers = ReadonlyMap<string, readonly string[]>

export async function readTypeUsers(connection: Connection, schemas: readonly string[]): Promise<TypeUsers> {
  const result = await connection.execute<{ schema: string; table: string; column: string; user: string }>({
    text: `
      select distinct n.nspname::text as schema, t.relname::text as "table", a.attname::text as "column", u.described as "user"
      from pg_catalog.pg_class t
      join pg_catalog.pg_namespace n on n.oid = t.relnamespace
      join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0
      cross join lateral (
        select pg_catalog.pg_describe_object(d.classid, d.objid, 0)
        from pg_catalog.pg_depend d
        left join pg_catalog.pg_attrdef f on f.oid = d.objid and d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
        where d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = t.oid and d.refobjsubid = a.attnum
          and (d.classid in ('pg_catalog.pg_rewrite'::pg_catalog.regclass, 'pg_catalog.pg_trigger'::pg_catalog.regclass, 'pg_catalog.pg_proc'::pg_catalog.regclass,
              'pg_catalog.pg_policy'::pg_catalog.regclass, 'pg_catalog.pg_publication_rel'::pg_catalog.regclass)
            or f.adrelid = t.oid and f.adnum <> a.attnum)
        union all
        -- So PostgreSQL 14 has it.
        select 'default value for ' || pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
        from pg_catalog.pg_depend d
        where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = t.oid and d.objsubid not in (0, a.attnum)
          and d.refclassid = d.classid and d.refobjid = t.oid and d.refobjsubid = a.attnum
        union all
        select 'the partition key of ' || pg_catalog.pg_describe_object(d.classid, d.objid, 0)
        from pg_catalog.pg_depend d
        where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = t.oid and d.objsubid = a.attnum
          and d.refclassid = d.classid and d.refobjid = t.oid and d.refobjsubid = 0 and t.relkind = 'p'
        union all
        select pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, i.inhparent, 0) || ', from which it is inherited'
        from pg_catalog.pg_inherits i where i.inhrelid = t.oid and a.attinhcount > 0
      ) u (described)
      where n.nspname = any($1::text[])
      order by u.described`,
    values: [schemas],
  })
  const users = new Map<string, string[]>()
  for (const { schema, table, column, user } of result.all()) {
    const place = `${schema}\0${table}\0${column}`
    const list = users.get(place)
    if (list === undefined) users.set(place, [user])
    else list.push(user)
  }
  return users
}
