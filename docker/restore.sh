#!/bin/sh
# The newest backup of a folder (or one file) into an empty data folder or database; every meeting's log is verified.
#   restore.sh /backups       with DIEMCAU_DATA or DATABASE_URL as the server will have them; no server running
set -eu

from=${1:?which folder or file?}
if [ -d "$from" ]; then
    newest=$(find "$from" -maxdepth 1 -name 'diemcau-*.tar' | sort | tail -n 1)
    from=${newest:?there is no backup in that folder}
fi
exec diemcau restore "$from"
