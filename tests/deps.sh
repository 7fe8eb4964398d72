#!/bin/sh
# Installs what building and testing iotix needs; `deps.sh build`: without the browser that only tests need.
# Quiet, idempotent; sudo only when not root.
set -eu
packages="gcc libc6-dev make pkg-config libluajit-5.1-dev luajit libuv1-dev libmosquitto-dev lua-cjson-dev libjansson-dev
libsodium-dev libssl-dev libcurl4-openssl-dev libsqlite3-dev libmicrohttpd-dev curl mosquitto prometheus wrk libcmocka-dev lua-unit lua-check clang-format
python3 python3-pytest python3-paho-mqtt python3-requests python3-jsonschema libfaketime iproute2 ca-certificates openssl"
# A Node.js from elsewhere will do, and would stand in the way of Debian's.
command -v npm >/dev/null || packages="$packages nodejs npm"
[ "${1:-}" = build ] || command -v chromium >/dev/null || packages="$packages chromium"
missing=""
for package in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
echo "installing:$missing"
# Mosquitto's package would start a broker of its own at once: tests and runs bring their own.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "could not install:$missing" >&2
    exit 1
fi
