"""Checks of C and Python sources that other tools do not make. Prints "file:line: what is wrong"; exit status 1 if any.

usage: lint.py FILE…            check these files
       lint.py --list PATTERN…  list the files of these names below the current folder (for trees without git)
"""

import fnmatch
import os
import re
import sys

# An include may only name its own folder or one further left. Only script/ may know Lua.
LAYERS = (
    "base loop metrics model generator strategy protocol device output script worker store control api cli"
).split()
LUA_HEADERS = {"lua.h", "lauxlib.h", "lualib.h", "luajit.h", "lua.hpp"}

# Functions that write without a limit, hide errors or run a shell; the second column says what to use.
BANNED = {
    "strcpy": "ix_buf or snprintf",
    "strcat": "ix_buf or snprintf",
    "stpcpy": "ix_buf or snprintf",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "gets": "fgets",
    "strtok": "strchr or strcspn",
    "atoi": "strtol with checks",
    "atol": "strtol with checks",
    "atoll": "strtoll with checks",
    "atof": "strtod with checks",
    "alloca": "malloc",
}
BANNED_IN_RUNTIME = {
    "system": "loop/child.h",
    "popen": "loop/child.h",
    "assert": "an error return",
}

# In runtime/: what a reader can hold in mind. Files that are, or are about to be, longer stand here until they are taken
# apart.
FUNCTION_LINES = 60
FILE_LINES = 500
LONGER_FILES = {
    "runtime/control/journal_snapshot.c",
    "runtime/control/service_place.c",
    "runtime/device/internal.h",
    "runtime/store/store.c",
}

TOKENS = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'""", re.DOTALL | re.VERBOSE
)
CALL = re.compile(r"(?<![\w.>])(\w+)\s*\(")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

findings = 0


def report(path, line, text):
    global findings
    findings += 1
    print(f"{path}:{line}: {text}")


def blank(match):
    """Removes comments and the contents of literals, and keeps the lines."""
    return re.sub(r"[^\n]", " ", match.group())


def check_include(path, number, quote, name):
    parts = path.split("/")
    layer = parts[1] if parts[0] == "runtime" and len(parts) > 2 else None
    if name in LUA_HEADERS and layer is not None and layer != "script":
        report(path, number, f"only runtime/script may include {name}")
    if quote != '"' or layer is None:
        return
    target = name.split("/")[0]
    if "/" not in name or target not in LAYERS:
        report(path, number, f'write #include "folder/{os.path.basename(name)}" with a folder of runtime/')
    elif layer in LAYERS and LAYERS.index(target) > LAYERS.index(layer):
        report(path, number, f"{layer}/ may not include {name}: {target}/ comes later in the order of layers")


def check_lengths(path, lines):
    """`lines` without comments: clang-format puts a function's braces, and nothing else, alone on lines of their own."""
    if len(lines) - 1 > FILE_LINES and path not in LONGER_FILES:
        report(path, FILE_LINES + 1, f"{len(lines) - 1} lines are more than {FILE_LINES}: take the file apart")
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
            while start > 1 and lines[start - 2].strip() and not lines[start - 2].rstrip().endswith((";", "}")):
                start -= 1
        elif line == "}" and start is not None:
            if number - start + 1 > FUNCTION_LINES:
                report(path, start, f"a function of {number - start + 1} lines: {FUNCTION_LINES} are the limit")
            start = None


def check_c(path, text):
    parts = path.split("/")
    if parts[0] == "runtime" and (len(parts) < 3 or parts[1] not in LAYERS):
        report(path, 1, "not in one of the folders " + " ".join(LAYERS))
    banned = dict(BANNED)
    if parts[0] == "runtime":
        banned.update(BANNED_IN_RUNTIME)
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            report(path, number, "white space at the end of the line")
        if "\t" in line:
            report(path, number, "tab character")
        include = INCLUDE.match(line)
        if include:
            check_include(path, number, *include.groups())
    code = TOKENS.sub(blank, text).split("\n")
    if parts[0] == "runtime":
        check_lengths(path, code)
    for number, line in enumerate(code, 1):
        for name in CALL.findall(line):
            if name in banned:
                report(path, number, f"{name}() is banned: use {banned[name]}")
    if not text.endswith("\n"):
        report(path, text.count("\n") + 1, "no line end at the end of the file")


def check_python(path, text):
    try:
        compile(text, path, "exec")
    except SyntaxError as error:
        report(path, error.lineno or 1, error.msg)


def list_files(patterns):
    for folder, folders, files in os.walk("."):
        folders[:] = [f for f in folders if f != ".git" and not f.startswith("build")]
        for name in files:
            path = os.path.relpath(os.path.join(folder, name))
            if any(fnmatch.fnmatch(name, p) or path == p for p in patterns):
                print(path)


def main(arguments):
    if arguments[:1] == ["--list"]:
        list_files(arguments[1:])
        return 0
    for path in arguments:
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            report(path, 1, str(error))
            continue
        if path.endswith(".py"):
            check_python(path, text)
        else:
            check_c(path, text)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
