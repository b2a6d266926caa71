/** What uses enum types, or types that consist of them: what has to change with a type that is created anew. */
import type { Connection } from '../../index.js'
import type { Catalog, CatalogType } from '../introspect/catalog-model.js'

/** An object that uses a type or a column of the type. */
export interface TypeDependent {
  /** Oid of the type. */
  readonly type: string
  /** `other`: what no statement of a check creates anew. */
  readonly kind: 'constraint' | 'index' | 'default' | 'column' | 'other'
  /** Oid of its table. */
  readonly table: string | null
  /** Of the constraint, the index or the column. */
  readonly name: string | null
  readonly description: string
}

/** The types of the database that consist of a type, each after those that it consists of, with the type itself. Multiranges and arrays, too. */
export function typesWith(type: CatalogType, { types }: Pick<Catalog, 'types'>): readonly CatalogType[] {
  const found = new Set([type])
  const parts = (one: CatalogType): readonly (string | null | undefined)[] => [
    one.element,
    one.domain?.base,
    one.range?.subtype,
    one.rangeOf,
    ...one.fields.map((field) => field.type),
  ]
  const wholes = [...types.values()].map((whole) => ({ whole, parts: parts(whole) }))
  // A set also visits what is added meanwhile.
  for (const { oid } of found) {
    for (const { whole, parts: own } of wholes) {
      if (!own.includes(oid)) continue
      // Behind the last of its parts.
      found.delete(whole)
      found.add(whole)
    }
  }
  return [...found]
}

/** @param schemas Those of the enum types. */
export async function readTypeDependents(
  connection: Connection,
  catalog: Catalog,
  schemas: readonly string[],
): Promise<readonly TypeDependent[]> {
  const enums = [...catalog.types.values()].filter(
    ({ kind, schema }) => kind === 'enum' && schemas.includes(schema),
  )
  const types = new Set(enums.flatMap((type) => typesWith(type, catalog)).map(({ oid }) => oid))
  if (types.size === 0) return []
  const result = await connection.execute<{ item: TypeDependent | string }>({
    text: DEPENDENTS_QUERY,
    values: [[...types]],
  })
  // Engines may parse JSON, or leave it as text.
  return result
    .all()
    .map(({ item }) => (typeof item === 'string' ? (JSON.parse(item) as TypeDependent) : item))
}

/** Without what PostgreSQL changes together with a column: keys, indexes of plain columns, statistics, the functions of a range, what partitions have from their table. */
const DEPENDENTS_QUERY = `
with columns as (
  select a.attrelid, a.attnum, a.atttypid
  from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
  where a.atttypid = any($1::oid[]) and not a.attisdropped and c.relkind in ('r', 'p', 'f')
), found as (
  select d.refobjid as type, d.classid, d.objid, d.objsubid, true as is_direct
  from pg_catalog.pg_depend d
  where d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass and d.refobjid = any($1::oid[]) and d.deptype in ('n', 'a')
  union
  select c.atttypid, d.classid, d.objid, d.objsubid, false
  from pg_catalog.pg_depend d join columns c on d.refobjid = c.attrelid and d.refobjsubid = c.attnum
  where d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype in ('n', 'a')
), objects as (
  select f.*, f.classid::pg_catalog.regclass as class, r.relkind, r.relispartition,
    k.conname, k.conrelid, k.contypid, k.contype, k.coninhcount, i.indrelid, i.indpred is not null or i.indexprs is not null as is_expression,
    a.attname, coalesce(g.attgenerated, '') <> '' as is_generated, g.attname as filled, v.adrelid, vr.relkind as filled_kind, vr.relispartition as is_filled_partition
  from found f
  left join pg_catalog.pg_class r on f.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and r.oid = f.objid
  left join pg_catalog.pg_attribute a on f.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and f.objsubid <> 0 and a.attrelid = f.objid and a.attnum = f.objsubid
  left join pg_catalog.pg_index i on f.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and i.indexrelid = f.objid
  left join pg_catalog.pg_constraint k on f.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass and k.oid = f.objid
  left join pg_catalog.pg_attrdef v on f.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and v.oid = f.objid
  left join pg_catalog.pg_class vr on vr.oid = v.adrelid
  left join pg_catalog.pg_attribute g on g.attrelid = v.adrelid and g.attnum = v.adnum
)
select distinct jsonb_build_object('type', o.type::text,
  'kind', case
    when o.conrelid <> 0 and o.contype in ('c', 'x', 'f') then 'constraint'
    when o.indrelid is not null then 'index'
    when o.relkind in ('r', 'p', 'f') and o.attname is not null and o.is_direct then 'column'
    when o.filled_kind in ('r', 'p', 'f') and not o.is_generated then 'default'
    else 'other' end,
  'table', coalesce(nullif(o.conrelid, 0), o.indrelid, o.adrelid, case when o.relkind in ('r', 'p', 'f') then o.objid end)::text,
  'name', coalesce(o.conname, case when o.indrelid is not null then (select relname from pg_catalog.pg_class where oid = o.objid) end, o.filled, o.attname),
  'description', pg_catalog.pg_describe_object(o.classid, o.objid, o.objsubid)) as item
from objects o
where not coalesce(
  o.class = 'pg_catalog.pg_type'::pg_catalog.regclass
  or o.relkind = 'c'
  or o.class = 'pg_catalog.pg_proc'::pg_catalog.regclass and exists (
    select from pg_catalog.pg_depend e where e.classid = o.classid and e.objid = o.objid and e.refobjid = any($1::oid[]) and e.deptype = 'i')
  or o.contypid <> 0 and o.contypid = any($1::oid[])
  or o.contype in ('p', 'u', 'n') or o.contype <> 'x' and o.coninhcount > 0
  or o.indrelid is not null and (not o.is_expression or exists (select from pg_catalog.pg_inherits h where h.inhrelid = o.objid))
  or o.class = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass and not o.is_direct
  or o.relispartition and o.attname is not null or o.is_filled_partition and not o.is_generated, false)`
