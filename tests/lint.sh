#!/usr/bin/env bash
# Checks that need no compiler: formatting, layering, banned functions, lengths, white space; Lua, Python and shell scripts.
# Every finding is a line "file:line: what is wrong".
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

status=0

# list PATTERN…: the project's files of these names, new ones included; without git, what is there.
list()
{
    git ls-files -co --exclude-standard -- "$@" 2>/dev/null ||
        /usr/bin/python3 tests/lint.py --list "$@"
}

existing()
{
    local file
    while IFS= read -r file; do
        [ -f "$file" ] && printf '%s\n' "$file"
    done
}

mapfile -t c_files < <(list '*.c' '*.h' | existing)
mapfile -t lua_files < <(list '*.lua' | existing)
mapfile -t python_files < <(list '*.py' | existing)
mapfile -t shell_files < <(list '*.sh' '.ci/run' | existing)

echo "C: ${#c_files[@]} files, Lua: ${#lua_files[@]}, Python: ${#python_files[@]}, shell: ${#shell_files[@]}"
if [ ${#c_files[@]} = 0 ]; then
    echo "tests/lint.sh:1: found no C files to check"
    exit 1
fi

if ! clang-format --dry-run -Werror "${c_files[@]}" 2>&1 | awk '/ error: / { print; bad = 1 } END { exit bad }'; then
    echo "make format mends the formatting"
    status=1
fi
/usr/bin/python3 tests/lint.py "${c_files[@]}" "${python_files[@]}" || status=1
if [ ${#lua_files[@]} -gt 0 ]; then
    luacheck --quiet --no-cache --no-color --formatter plain "${lua_files[@]}" || status=1
fi
for file in "${shell_files[@]}"; do
    case $(head -n 1 "$file") in
    *bash*) bash -n "$file" || status=1 ;;
    *) sh -n "$file" || status=1 ;;
    esac
done

[ $status = 0 ] && echo "lint: no findings"
exit $status
