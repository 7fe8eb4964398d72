#!/usr/bin/env bash
# What a change must pass: every test, the same tests under the sanitizers, and lint (which counts as one test).
# The last line sums them all: "N passed, N failed"; above it what failed stands once more, where it is found at once.
set -u
cd "$(dirname "$0")/.." || exit 1

log=$(mktemp "${TMPDIR:-/tmp}/iotix-ci.XXXXXX") || exit 1
export TEST_FAILURES=$log.failures
trap 'rm -f "$log" "$TEST_FAILURES"' EXIT
trap 'exit 130' INT TERM
passed=0
failed=0

# tests TITLE ARGUMENT…: runs make test and adds up the counts of its last line.
tests()
{
    local title=$1 status last
    shift
    echo "== $title"
    echo "== $title" >>"$TEST_FAILURES"
    make -j2 --no-print-directory "$@" test 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    last=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    if [ -n "$last" ]; then
        set -- $last
        passed=$((passed + $1))
        failed=$((failed + $3))
        [ "$status" = 0 ] || [ "$3" != 0 ] || failed=$((failed + 1))
    else
        failed=$((failed + 1))
    fi
}

tests "tests"
tests "tests with the address and undefined-behaviour sanitizers" SANITIZE=address,undefined
echo "== lint"
if make --no-print-directory lint; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
fi

if [ "$failed" != 0 ]; then
    echo
    echo "== what failed"
    cat "$TEST_FAILURES"
fi
echo
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
