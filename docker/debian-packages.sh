#!/bin/sh
# Make sure the Debian packages for a purpose ("run" or "test") are there: install them as root, else say what is missing.
set -eu

missing=""
need() { # package, test command
    sh -c "$2" >/dev/null 2>&1 || missing="$missing $1"
}

need python3-venv "${PYTHON:-python3} -c 'import venv, ensurepip'"
# the media node runs uncompiled too: whoever is not root is told of it by media/compile.py
if [ "${1:-run}" = test ] || [ "$(id -u)" = 0 ]; then
    need gcc "command -v gcc"
    need libc6-dev "ls /usr/include/stdlib.h"
    need python3-dev "${PYTHON:-python3} -c 'import os, sysconfig; os.stat(sysconfig.get_path(\"include\") + \"/Python.h\")'"
fi
if [ "${1:-run}" = test ]; then
    need chromium "command -v chromium"
    need coturn "command -v turnserver"
    need iproute2 "command -v ip"
    need fonts-noto-core "dpkg -s fonts-noto-core"
    need janus "command -v janus"
    need redis-server "command -v redis-server"
    need caddy "command -v caddy"
    need prometheus "command -v promtool"
    need python3-yaml "/usr/bin/python3 -c 'import yaml'"
    need postgresql "ls /usr/lib/postgresql/*/bin/initdb"
    for package in gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-nice \
        python3-gst-1.0 gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0; do
        need "$package" "dpkg -s $package"
    done
fi

[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Missing Debian packages:$missing. Install them: sudo apt-get install$missing" >&2
    exit 1
fi
echo "Installing Debian packages:$missing"
apt-get update -qq
# shellcheck disable=SC2086  # a list of packages
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
# tests start their own servers: those that the packages have set going are not wanted here
for service in caddy coturn prometheus redis-server postgresql; do
    case "$missing" in *"$service"*) systemctl disable --now "$service" >/dev/null 2>&1 || true ;; esac
done
