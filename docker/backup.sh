#!/bin/sh
# A backup into a folder, named by the time (UTC), and those older than KEEP_DAYS (30) thrown away.
#   backup.sh /backups        with DIEMCAU_DATA or DATABASE_URL as the server has them; the server may be running
set -eu

folder=${1:?which folder?}
mkdir -p "$folder"
file="$folder/diemcau-$(date -u +%Y%m%dT%H%M%SZ).tar"
diemcau backup "$file"
find "$folder" -maxdepth 1 -name 'diemcau-*.tar' -mtime "+${KEEP_DAYS:-30}" -delete
