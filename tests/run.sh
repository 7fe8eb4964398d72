#!/usr/bin/env bash
# Runs the tests: tests/run.sh [unit] [lua] [e2e], all three if none is named. The last line is "N passed, N failed".
#
#   unit  every $BUILD/tests/test_*        cmocka programs
#   lua   every tests/lua/test_*.lua       luaunit, run by the iotix binary
#   e2e   tests/e2e                        pytest against the iotix binary; PYTEST_ADDOPTS="-k name" chooses
#
# What failed is printed as it ends, and appended to the file $TEST_FAILURES if that is set.
#
# A crash, a time-out, a sanitizer report (in any process that a test started), a test that did not run, a skipped test
# and a part without tests are failures.
set -u
cd "$(dirname "$0")/.." || exit 1

build=${BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
export IOTIX=$build/iotix
limit=${TEST_TIMEOUT:-180}      # seconds for one unit program or Lua file
limit_e2e=${E2E_TIMEOUT:-600}   # seconds for one file of end-to-end tests
jobs_e2e=${E2E_JOBS:-4}         # of these files run at once

scratch=$(mktemp -d "${TMPDIR:-/tmp}/iotix-tests.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'kill $(jobs -p) 2>/dev/null; exit 130' INT TERM
mkdir "$scratch/tmp" "$scratch/reports"
export TMPDIR=$scratch/tmp XDG_STATE_HOME=$scratch/state
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
# ASan reports into files, because a worker's standard error may be read by nobody. UBSan beside ASan cannot: it ends
# the process, and the end-to-end tests look for its message.
export ASAN_OPTIONS="detect_leaks=1:log_path=$scratch/reports/asan${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
unset MQTT_BROKER_HOST MQTT_BROKER_PORT DEVICE_MODEL_PATH IOTIX_LUA_PATH IOTIX_DATA_PATH LUA_PATH LUA_CPATH

passed=0
failed=0

# count NAME SECONDS PASSED FAILED OUTPUT-FILE: one line of progress, the output of what failed.
count()
{
    passed=$((passed + $3))
    failed=$((failed + $4))
    if [ "$4" = 0 ]; then
        printf '  %-44s %3d passed  %3ds\n' "$1" "$3" "$2"
    else
        printf '  %-44s %3d passed, %d FAILED  %ds\n' "$1" "$3" "$4" "$2"
        sed 's/^/    | /' "$5"
        [ -z "${TEST_FAILURES:-}" ] || { echo "$1"; sed 's/^/    | /' "$5" | tail -n 80; } >>"$TEST_FAILURES"
    fi
}

# sanitizer_reports FOLDER OUTPUT-FILE: moves what the sanitizers wrote into the output; true if there was anything.
sanitizer_reports()
{
    local report found=1
    for report in "$1"/*; do
        [ -e "$report" ] || continue
        # A process that is killed while it looks for leaks says this, and found nothing yet.
        if ! grep -qv 'Unable to get registers from thread' "$report"; then
            rm -f "$report"
            continue
        fi
        { echo "sanitizer report:"; sed '/^Shadow bytes/,$d' "$report"; } >>"$2"
        rm -f "$report"
        found=0
    done
    return $found
}

# run_tap NAME COMMAND…: runs a program that speaks TAP and counts its results.
run_tap()
{
    local name=$1 out=$scratch/out start=$SECONDS status good bad planned
    shift
    { timeout -k 5 "$limit" "$@" >"$out" 2>&1 </dev/null; } 2>/dev/null
    status=$?
    good=$(grep -E '^ok ' "$out" | grep -cvE '^ok +[0-9]*[[:space:]]+# *SKIP')
    bad=$(grep -cE '^not ok |^ok +[0-9]*[[:space:]]+# *SKIP' "$out")
    planned=$(awk -F '\\.\\.' '/^1\.\.[0-9]+$/ { n += $2 } END { print n + 0 }' "$out")
    if [ $status -ge 124 ] && [ $((SECONDS - start)) -ge "$limit" ]; then
        echo "not finished after $limit s" >>"$out"
        bad=$((bad + 1))
    elif [ $status -gt 128 ]; then
        echo "killed by signal $((status - 128))" >>"$out"
        bad=$((bad + 1))
    elif [ "$planned" = 0 ]; then
        echo "no test ran (exit status $status)" >>"$out"
        bad=$((bad + 1))
    elif [ "$planned" != $((good + bad)) ]; then
        echo "$planned tests announced, $((good + bad)) reported (exit status $status)" >>"$out"
        bad=$((bad + 1))
    elif [ $status != 0 ] && [ "$bad" = 0 ]; then
        echo "every test passed, but the exit status is $status" >>"$out"
        bad=1
    fi
    if sanitizer_reports "$scratch/reports" "$out"; then
        bad=$((bad + 1))
    fi
    count "$name" $((SECONDS - start)) "$good" "$bad" "$out"
}

run_unit()
{
    local program source name
    for source in tests/unit/test_*.c; do
        [ -e "$source" ] || continue
        name=$(basename "$source" .c)
        program=$build/tests/$name
        if [ -x "$program" ]; then
            CMOCKA_MESSAGE_OUTPUT=tap run_tap "$name" "$program"
        else
            echo "$program is missing: make unit-programs builds it" >"$scratch/out"
            count "$name" 0 0 1 "$scratch/out"
        fi
    done
}

run_lua()
{
    local file
    for file in tests/lua/test_*.lua; do
        [ -e "$file" ] || continue
        LUAUNIT_OUTPUT=tap run_tap "$(basename "$file")" "$IOTIX" lua "$file"
    done
}

# e2e_file FILE: runs one file of end-to-end tests and leaves what count wants in $scratch/e2e/NAME.*
e2e_file()
{
    local name start=$SECONDS status good=0 bad=0 out
    name=$(basename "$1")
    out=$scratch/e2e/$name.out
    mkdir "$scratch/e2e/$name.reports"
    # Debian's Python has the packages that tests/deps.sh installs; another one first in PATH has not.
    E2E_COUNTS=$scratch/e2e/$name.counts ASAN_OPTIONS="$ASAN_OPTIONS:log_path=$scratch/e2e/$name.reports/asan" \
        timeout -k 10 "$limit_e2e" /usr/bin/python3 -m pytest "$1" \
        -p no:cacheprovider --no-header -rsxX --tb=short --basetemp="$scratch/pytest-$name" >"$out" 2>&1 </dev/null
    status=$?
    [ -e "$scratch/e2e/$name.counts" ] && read -r good bad <"$scratch/e2e/$name.counts"
    if [ "$status" -ge 124 ] && [ $((SECONDS - start)) -ge "$limit_e2e" ]; then
        echo "not finished after $limit_e2e s" >>"$out"
        bad=$((bad + 1))
    elif [ "$status" = 5 ] && [ -n "${PYTEST_ADDOPTS:-}" ]; then
        : # nothing of this file was chosen
    elif [ $((good + bad)) = 0 ] || { [ "$status" != 0 ] && [ "$bad" = 0 ]; }; then
        echo "pytest ended with status $status, $good passed" >>"$out"
        bad=$((bad + 1))
    fi
    if sanitizer_reports "$scratch/e2e/$name.reports" "$out"; then
        bad=$((bad + 1))
    fi
    echo "$((SECONDS - start)) $good $bad" >"$scratch/e2e/$name.done"
}

# Counts the files that are done, in the order in which they end.
e2e_progress()
{
    local done name seconds good bad
    for done in "$scratch"/e2e/*.done; do
        [ -e "$done" ] || continue
        name=$(basename "$done" .done)
        read -r seconds good bad <"$done"
        [ $((good + bad)) = 0 ] || count "$name" "$seconds" "$good" "$bad" "$scratch/e2e/$name.out"
        rm "$done"
    done
}

# Tests mostly wait: several files at once cost no more, and each process has its own brokers and folders.
run_e2e()
{
    local file
    mkdir "$scratch/e2e"
    for file in tests/e2e/test_*.py; do
        [ -e "$file" ] || continue
        while [ "$(jobs -rp | wc -l)" -ge "$jobs_e2e" ]; do
            wait -n
            e2e_progress
        done
        e2e_file "$file" &
    done
    wait
    e2e_progress
}

[ $# -gt 0 ] || set -- unit lua e2e
for part; do
    before=$((passed + failed))
    case $part in
    unit | lua | e2e)
        echo "$part"
        "run_$part"
        ;;
    *)
        echo "unknown part '$part': choose among unit, lua and e2e"
        failed=$((failed + 1))
        continue
        ;;
    esac
    if [ $((passed + failed)) = "$before" ]; then
        echo "  no tests in part '$part'"
        failed=$((failed + 1))
    fi
done

echo
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
