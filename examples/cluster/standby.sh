#!/usr/bin/env bash
# Copies the primary at the first start, and follows whichever of the servers is the primary. Arguments are those of `postgres`.
set -eu
conninfo="host=db-1,db-2,db-3 user=$POSTGRES_USER password=$POSTGRES_PASSWORD target_session_attrs=read-write"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  pg_basebackup --dbname="$conninfo" --pgdata="$PGDATA" --checkpoint=fast --progress
  chmod 0700 "$PGDATA"
  touch "$PGDATA/standby.signal"
fi
exec postgres -c hot_standby=on -c "primary_conninfo=$conninfo" "$@"
