#!/usr/bin/env bash
# Figures of iotix beside those of a plain C loop, from one run on one machine: tests/bench/run.sh [bench.py's options]
set -eu
cd "$(dirname "$0")/../.."

build=${BUILD:-build}
mkdir -p "$build/bench"
# The flags of the program itself (Makefile, CFLAGS_BASE).
${CC:-gcc} -std=gnu11 -O2 -g -D_GNU_SOURCE -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -fno-omit-frame-pointer \
    -o "$build/bench/baseline" tests/bench/baseline.c
exec /usr/bin/python3 tests/bench/bench.py --iotix "$build/iotix" --baseline "$build/bench/baseline" "$@"
