/**
 * The queries of the catalog, one for each kind of object. Each returns rows of one JSON document, so that the engine's type parsers
 * have no effect. `$1` is the list of schemas. They run with an empty search path, so that all names in expressions are qualified.
 */

/** The schemas of users. */
export const SCHEMAS: string = `
select to_jsonb(n.nspname) as item
from pg_catalog.pg_namespace n
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by n.nspname collate "C"`

export const TABLES: string = `
  select c.oid, c.relname, c.relkind, c.relrowsecurity, c.relpersistence, c.reloptions, n.nspname
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname = any($1::text[]) and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition and c.relpersistence <> 't'
    and not exists (
      select from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')`

export const TABLES_QUERY: string = `
select jsonb_build_object(
  'oid', c.oid::text, 'schema', c.nspname, 'name', c.relname, 'kind', c.relkind, 'rowSecurity', c.relrowsecurity,
  'unlogged', c.relpersistence = 'u', 'storage', pg_catalog.array_to_string(c.reloptions, ', '),
  'triggers', coalesce((select jsonb_agg(g.tgname order by g.tgname collate "C") from pg_catalog.pg_trigger g where g.tgrelid = c.oid and not g.tgisinternal), '[]'),
  'rules', coalesce((select jsonb_agg(r.rulename order by r.rulename collate "C") from pg_catalog.pg_rewrite r where r.ev_class = c.oid and r.rulename <> '_RETURN'), '[]'),
  'comment', pg_catalog.obj_description(c.oid, 'pg_class'),
  'partitionBy', case when c.relkind = 'p' then pg_catalog.pg_get_partkeydef(c.oid) end,
  'inherits', coalesce((select jsonb_agg(i.inhparent::pg_catalog.regclass::text order by i.inhseqno) from pg_catalog.pg_inherits i where i.inhrelid = c.oid), '[]')
) as item
from (${TABLES}) c
order by c.nspname collate "C", c.relname collate "C"`

/** The greatest value of the type of a row `q` of pg_sequence. */
const LARGEST = `case q.seqtypid when 'int2'::pg_catalog.regtype then 32767 when 'int4'::pg_catalog.regtype then 2147483647 else 9223372036854775807 end`

/** What follows the name in CREATE SEQUENCE, of a row `q` of pg_sequence, without what is the default. */
export const SEQUENCE_DEFINITION: string = `'as ' || pg_catalog.format_type(q.seqtypid, null)
    || case when q.seqincrement <> 1 then ' increment by ' || q.seqincrement else '' end
    || case when q.seqmin <> case when q.seqincrement > 0 then 1 else -(${LARGEST}) - 1 end then ' minvalue ' || q.seqmin else '' end
    || case when q.seqmax <> case when q.seqincrement > 0 then (${LARGEST}) else -1 end then ' maxvalue ' || q.seqmax else '' end
    || case when q.seqstart <> case when q.seqincrement > 0 then q.seqmin else q.seqmax end then ' start with ' || q.seqstart else '' end
    || case when q.seqcache <> 1 then ' cache ' || q.seqcache else '' end || case when q.seqcycle then ' cycle' else '' end`

export const COLUMNS_QUERY: string = `
select jsonb_build_object(
  'table', a.attrelid::text, 'number', a.attnum, 'name', a.attname, 'type', a.atttypid::text, 'modifier', a.atttypmod,
  'typeText', pg_catalog.format_type(a.atttypid, a.atttypmod), 'dimensions', a.attndims,
  'notNull', a.attnotnull,
  'newNotNull', (
    select k.conname from pg_catalog.pg_constraint k
    where k.conrelid = a.attrelid and k.contype = 'n' and k.conkey = array[a.attnum] and not k.convalidated),
  'identity', a.attidentity, 'generated', a.attgenerated,
  'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid),
  'sequences', (
    select jsonb_agg('nextval(' || pg_catalog.quote_literal(s.objid::pg_catalog.regclass::text) || '::regclass)')
    from pg_catalog.pg_depend s
    where s.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and s.refclassid = s.classid and s.refobjid = a.attrelid
      and s.refobjsubid = a.attnum and s.deptype = 'a'),
  'sequenceName', (
    select s.objid::pg_catalog.regclass::text from pg_catalog.pg_depend s join pg_catalog.pg_sequence q on q.seqrelid = s.objid
    where s.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and s.refclassid = s.classid and s.refobjid = a.attrelid
      and s.refobjsubid = a.attnum and s.deptype = 'a' order by s.objid limit 1),
  'sequence', (
    select pg_catalog.regexp_replace(${SEQUENCE_DEFINITION}, case when q.seqtypid = a.atttypid then '^as \\w+ ?' else '^$' end, '')
    from pg_catalog.pg_depend s join pg_catalog.pg_sequence q on q.seqrelid = s.objid
    where s.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and s.refclassid = s.classid and s.refobjid = a.attrelid
      and s.refobjsubid = a.attnum and s.deptype = case when a.attidentity = '' then 'a' else 'i' end order by s.objid limit 1),
  'collation', case when a.attcollation <> t.typcollation then (select quote_ident(l.collname) from pg_catalog.pg_collation l where l.oid = a.attcollation) end,
  'comment', pg_catalog.col_description(a.attrelid, a.attnum)
) as item
from (${TABLES}) c
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_catalog.pg_type t on t.oid = a.atttypid
left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
order by a.attrelid, a.attnum`

function columnList(numbers: string, table: string): string {
  return `(select pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' order by u.n)
      from unnest(${numbers}) with ordinality u(num, n) join pg_catalog.pg_attribute a on a.attrelid = ${table} and a.attnum = u.num)`
}

/** Without the foreign keys that have a parent: PostgreSQL repeats a foreign key to a partitioned table for each partition. */
export const CONSTRAINTS_QUERY: string = `
select jsonb_build_object(
  'table', k.conrelid::text, 'name', k.conname, 'kind', k.contype, 'columns', coalesce(to_jsonb(k.conkey), '[]'),
  'deferrable', k.condeferrable, 'deferred', k.condeferred, 'validated', k.convalidated,
  'enforced', coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true), 'period', coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false),
  'definition', pg_catalog.regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID$', ''),
  'expression', case when k.contype = 'c' then pg_catalog.pg_get_expr(k.conbin, k.conrelid) end,
  'special', coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) or coalesce(i.indnatts > i.indnkeyatts, false)
    or coalesce((to_jsonb(k) ->> 'conperiod')::boolean, false) or (k.contype = 'f' and k.confmatchtype = 'f')
    or coalesce(to_jsonb(k) -> 'confdelsetcols' <> 'null', false) or (k.contype = 'c' and k.connoinherit) or not coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true),
  'target', case when k.contype = 'f' then jsonb_build_object(
    'schema', fn.nspname, 'table', f.relname, 'oid', f.oid::text, 'columns', to_jsonb(k.confkey),
    'names', (select jsonb_agg(a.attname order by u.n) from unnest(k.confkey) with ordinality u(num, n)
      join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.num),
    'onDelete', k.confdeltype, 'onUpdate', k.confupdtype,
    'rules', pg_catalog.btrim(pg_catalog.regexp_replace(pg_catalog.substr(pg_catalog.pg_get_constraintdef(k.oid), pg_catalog.length(
      'FOREIGN KEY (' || ${columnList('k.conkey', 'k.conrelid')} || ') REFERENCES ' || k.confrelid::pg_catalog.regclass::text
      || '(' || ${columnList('k.confkey', 'k.confrelid')} || ')') + 1), ' NOT VALID$', ''))) end
) as item
from (${TABLES}) c
join pg_catalog.pg_constraint k on k.conrelid = c.oid and k.contype in ('p', 'u', 'c', 'x', 'f') and k.conparentid = 0
left join pg_catalog.pg_index i on i.indexrelid = k.conindid and k.contype in ('p', 'u')
left join pg_catalog.pg_class f on f.oid = k.confrelid and k.contype = 'f'
left join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace
order by k.conrelid, k.conname collate "C"`

export const INDEXES_QUERY: string = `
select jsonb_build_object(
  'table', i.indrelid::text, 'name', x.relname, 'unique', i.indisunique, 'method', m.amname,
  'parts', (
    select jsonb_agg(jsonb_build_object(
      'number', u.num,
      'expression', case when u.num = 0 then pg_catalog.pg_get_indexdef(i.indexrelid, u.n::int, false) end) order by u.n)
    from unnest(i.indkey::int2[]) with ordinality u(num, n) where u.n <= i.indnkeyatts),
  'where', pg_catalog.pg_get_expr(i.indpred, i.indrelid),
  'plain', i.indnatts = i.indnkeyatts and x.reloptions is null and not coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false)
    and not exists (select from unnest(i.indoption::int2[]) o where o <> 0)
    and not exists (select from unnest(i.indclass::oid[]) o join pg_catalog.pg_opclass p on p.oid = o where not p.opcdefault)
    and not exists (
      select from unnest(i.indkey::int2[], i.indcollation::oid[]) u(num, coll)
      join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = u.num
      where u.coll <> 0 and u.coll <> a.attcollation),
  'prefix', 'CREATE ' || case when i.indisunique then 'UNIQUE ' else '' end || 'INDEX ' || pg_catalog.quote_ident(x.relname) || ' ON '
    || case when c.relkind = 'p' then 'ONLY ' else '' end || i.indrelid::pg_catalog.regclass::text || ' ',
  'definition', pg_catalog.pg_get_indexdef(i.indexrelid)
) as item
from (${TABLES}) c
join pg_catalog.pg_index i on i.indrelid = c.oid and i.indisvalid
join pg_catalog.pg_class x on x.oid = i.indexrelid
join pg_catalog.pg_am m on m.oid = x.relam
where not exists (select from pg_catalog.pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
order by i.indrelid, x.relname collate "C"`

/** Sequences that defaults use and no serial or identity column makes. */
export const SEQUENCES_QUERY: string = `
with tables as (${TABLES})
select jsonb_build_object(
  'schema', n.nspname, 'name', s.relname, 'nextval', 'nextval(' || pg_catalog.quote_literal(s.oid::pg_catalog.regclass::text) || '::regclass)',
  'definition', ${SEQUENCE_DEFINITION}
) as item
from pg_catalog.pg_sequence q
join pg_catalog.pg_class s on s.oid = q.seqrelid
join pg_catalog.pg_namespace n on n.oid = s.relnamespace
where s.oid in (
    select d.refobjid from tables c join pg_catalog.pg_attrdef f on f.adrelid = c.oid
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass and d.objid = f.oid
      and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass)
  and not exists (
    select from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = s.oid and (d.deptype in ('i', 'e') or d.deptype = 'a' and exists (
      select from pg_catalog.pg_attribute a join pg_catalog.pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum
      where a.attrelid = d.refobjid and a.attnum = d.refobjsubid and a.attnotnull
        and pg_catalog.pg_get_expr(f.adbin, f.adrelid) = 'nextval(' || pg_catalog.quote_literal(s.oid::pg_catalog.regclass::text) || '::regclass)')))
order by n.nspname collate "C", s.relname collate "C"`

export const TYPES_QUERY: string = `
select jsonb_build_object(
  'oid', t.oid::text, 'schema', n.nspname, 'name', t.typname, 'kind', t.typtype,
  'element', (select e.oid::text from pg_catalog.pg_type e where e.oid = t.typelem and e.typarray = t.oid),
  'extension', (
    select jsonb_build_object('name', e.extname, 'schema', en.nspname)
    from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid join pg_catalog.pg_namespace en on en.oid = e.extnamespace
    where d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass and d.objid = t.oid and d.deptype = 'e'
      and d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass),
  'labels', coalesce((select jsonb_agg(l.enumlabel order by l.enumsortorder) from pg_catalog.pg_enum l where l.enumtypid = t.oid), '[]'),
  'fields', coalesce((
    select jsonb_agg(jsonb_build_object('name', a.attname, 'type', a.atttypid::text, 'modifier', a.atttypmod, 'dimensions', a.attndims,
      'typeText', pg_catalog.format_type(a.atttypid, a.atttypmod)) order by a.attnum)
    from pg_catalog.pg_attribute a where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped), '[]'),
  'domain', case when t.typtype = 'd' then jsonb_build_object(
    'base', t.typbasetype::text, 'modifier', t.typtypmod, 'typeText', pg_catalog.format_type(t.typbasetype, t.typtypmod),
    'dimensions', t.typndims, 'notNull', t.typnotnull, 'default', pg_catalog.pg_get_expr(t.typdefaultbin, 0),
    'checks', coalesce((
      select jsonb_agg(jsonb_build_object('name', k.conname, 'definition', pg_catalog.pg_get_constraintdef(k.oid)) order by k.conname collate "C")
      from pg_catalog.pg_constraint k where k.contypid = t.oid and k.contype = 'c'), '[]')) end,
  'range', (
    select jsonb_build_object('subtype', r.rngsubtype::text,
      'difference', case when r.rngsubdiff <> 0 then r.rngsubdiff::pg_catalog.regproc::text end,
      'multirange', (select m.typname from pg_catalog.pg_type m where m.oid = r.rngmultitypid))
    from pg_catalog.pg_range r where r.rngtypid = t.oid),
  'rangeOf', (select r.rngtypid::text from pg_catalog.pg_range r where r.rngmultitypid = t.oid)
) as item
from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where t.typrelid = 0 and not exists (
    select from pg_catalog.pg_type e join pg_catalog.pg_class c on c.oid = e.typrelid where e.oid = t.typelem and c.relkind <> 'c')
  or exists (select from pg_catalog.pg_class c where c.oid = t.typrelid and c.relkind = 'c')`
