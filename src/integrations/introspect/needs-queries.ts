/** The queries for what the definitions of tables and types use: extensions, and objects that no entity can declare. */
import { TABLES } from './catalog-queries.js'

/** Defaults, constraints, indexes, partition keys and domains: what has expressions. */
const OBJECTS = `
with tables as (${TABLES}), columns as (
  select a.atttypid as type from tables c join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
), types as (
  select distinct t.oid, n.nspname, t.typname
  from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
  where n.nspname = any($1::text[]) or t.oid in (select type from columns)
), objects as (
  select 'pg_catalog.pg_class'::pg_catalog.regclass::oid as classid, i.indexrelid as objid, c.nspname || '.' || c.relname as place, pg_catalog.pg_get_indexdef(i.indexrelid) as definition
  from tables c join pg_catalog.pg_index i on i.indrelid = c.oid
  union all
  select 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, c.nspname || '.' || c.relname, pg_catalog.pg_get_partkeydef(c.oid) from tables c where c.relkind = 'p'
  union all
  select 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, c.nspname || '.' || c.relname, pg_catalog.pg_get_constraintdef(k.oid)
  from tables c join pg_catalog.pg_constraint k on k.conrelid = c.oid
  union all
  select 'pg_catalog.pg_attrdef'::pg_catalog.regclass, f.oid, c.nspname || '.' || c.relname, pg_catalog.pg_get_expr(f.adbin, f.adrelid)
  from tables c join pg_catalog.pg_attrdef f on f.adrelid = c.oid
  union all
  select 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, t.nspname || '.' || t.typname, pg_catalog.pg_get_constraintdef(k.oid)
  from types t join pg_catalog.pg_constraint k on k.contypid = t.oid
  union all
  select 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, t.nspname || '.' || t.typname, '' from types t
)`

/** Extensions whose operators and functions are used by indexes, constraints and defaults. */
export const EXTENSIONS_QUERY: string = `
${OBJECTS}
select to_jsonb(x.extname) as item
from pg_catalog.pg_extension x
where x.oid in (
  select e.refobjid from objects o
  join pg_catalog.pg_depend d on d.classid = o.classid and d.objid = o.objid
  join pg_catalog.pg_depend e on e.classid = d.refclassid and e.objid = d.refobjid and e.deptype = 'e'
  where o.classid <> 'pg_catalog.pg_type'::pg_catalog.regclass and e.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass)
order by x.extname collate "C"`

/**
 * What ddl() does not create and its statements use, each once for each table or type that uses it. Expressions depend on the collations of
 * their columns, too, which entities leave out.
 */
export const NEEDS_QUERY: string = `
${OBJECTS}
select jsonb_build_object('where', place, 'what', what) as item
from (
  select distinct o.place, i.type || ' ' || i.identity as what
  from objects o
  join pg_catalog.pg_depend d on d.classid = o.classid and d.objid = o.objid
  cross join lateral pg_catalog.pg_identify_object(d.refclassid, d.refobjid, 0) i
  where d.refobjid >= 16384
    and d.refclassid in (
      'pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass, 'pg_catalog.pg_collation'::pg_catalog.regclass,
      'pg_catalog.pg_ts_config'::pg_catalog.regclass, 'pg_catalog.pg_ts_dict'::pg_catalog.regclass, 'pg_catalog.pg_opclass'::pg_catalog.regclass)
    and (d.refclassid <> 'pg_catalog.pg_collation'::pg_catalog.regclass or o.definition like '% COLLATE %')
    and (o.classid <> 'pg_catalog.pg_type'::pg_catalog.regclass or d.deptype = 'n')
    and not exists (
      select from pg_catalog.pg_depend e where e.classid = d.refclassid and e.objid = d.refobjid and e.deptype in ('e', 'i'))
    and not exists (
      select from pg_catalog.pg_depend e where e.classid = o.classid and e.objid = o.objid and e.deptype = 'e')
) found
order by what collate "C", place collate "C"`

/** Extensions that stand in another schema than the first of the search path, where CREATE EXTENSION would put them. */
export const EXTENSION_SCHEMAS_QUERY: string = `
select jsonb_build_object('where', x.extname, 'what', 'extension ' || pg_catalog.quote_ident(x.extname) || ' schema ' || pg_catalog.quote_ident(n.nspname)) as item
from pg_catalog.pg_extension x join pg_catalog.pg_namespace n on n.oid = x.extnamespace
where x.extname = any($1::text[]) and n.nspname not in ('public', 'pg_catalog') and n.nspname <> x.extname
order by x.extname collate "C"`
