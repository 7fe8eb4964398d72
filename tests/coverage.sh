#!/usr/bin/env bash
# Which lines of C the unit and Lua tests reach: a table per file, and build-coverage/coverage.html.
set -eu
cd "$(dirname "$0")/.."
if ! command -v gcovr >/dev/null; then
    as_root=""
    [ "$(id -u)" = 0 ] || as_root=sudo
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcovr >/dev/null
fi
make -j2 --no-print-directory BUILD=build-coverage CFLAGS=--coverage LDFLAGS=--coverage all unit-programs
find build-coverage -name '*.gcda' -delete
BUILD=build-coverage tests/run.sh unit lua
gcovr --root . --filter 'runtime/' --object-directory build-coverage --sort-percentage \
    --html-details build-coverage/coverage.html --print-summary
