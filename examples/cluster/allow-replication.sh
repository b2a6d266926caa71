#!/usr/bin/env bash
# Run once by the image, before the primary takes connections: lets standbys in, which the image does not.
set -eu
echo 'host replication all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
