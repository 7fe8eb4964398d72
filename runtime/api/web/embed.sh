#!/bin/sh
# Writes the C file with the page's files: as they are, and compressed where that saves a tenth.
#
#   embed.sh OUTPUT.c SCRATCH [NODE_MODULES]
#
# Without NODE_MODULES the page needs libraries that are not there: plain.html takes its place. The files are named by
# the assembler's .incbin, so that megabytes cost the compiler nothing, and the program no time at its start.
#
# Addresses of assets contain a hash of all of them, /assets/HASH/js/main.js: a browser may keep them for ever, and never
# mixes files of two builds. Within the page they name each other relatively; HTML files, which begin with "/assets/" as
# if there were no hash, get it here, and the page a preload of each of its modules in place of <!-- modules -->.
set -eu
output=$1
scratch=$2
modules=${3:-}
here=$(dirname "$0")
rm -rf "$scratch"
mkdir -p "$scratch/raw" "$scratch/gzip"
scratch=$(cd "$scratch" && pwd)
list=$scratch/list

# put ADDRESS FILE: one file of the page.
put()
{
    echo "$1 $2" >>"$list"
}

# finish FILE < HTML: with the hash in its addresses, and its modules.
finish()
{
    modules_of_page=$(sed -n 's,^/assets/\(js/.*\) .*,<link rel="modulepreload" href="/assets/\1">,p' "$list" |
        grep -v theme.js | tr '\n' ' ')
    sed "s,<!-- modules -->,$modules_of_page,; s,\([\"']\)/assets/,\1/assets/$build/,g" >"$1"
}

if [ -n "$modules" ]; then
    find "$here/css" "$here/js" "$here/logo.svg" "$here/docs.js" "$here/docs.css" -type f | sort >"$scratch/own"
    while read -r file; do
        put "/assets/${file#"$here"/}" "$file"
    done <"$scratch/own"
    grep -v '^#' "$here/vendor.list" >"$scratch/vendor"
    while read -r name path; do
        put "/assets/vendor/$name" "$modules/$path"
        cat "$modules/$path" >/dev/null
    done <"$scratch/vendor"
    # Their licences ask to travel with them.
    for package in $(sed 's/^[^ ]* *//; s,/.*,,' "$scratch/vendor" | sort -u); do
        printf '%s\n\n' "== $package"
        cat "$modules/$package"/LICENSE*
        echo
    done >"$scratch/licenses.txt"
    put /assets/vendor/licenses.txt "$scratch/licenses.txt"
    pages='index.html docs.html'
else
    pages=plain.html
    put /assets/plain.css "$here/plain.css"
    put /assets/logo.svg "$here/logo.svg"
fi

build=$(cut -d ' ' -f 2 "$list" | (cd "$here" && cat $pages && cd "$OLDPWD" && xargs cat) | sha256sum | cut -c 1-12)
for page in $pages; do
    finish "$scratch/$page" <"$here/$page"
done
sed -i "s,^/assets/,/assets/$build/," "$list"
for page in $pages; do
    case $page in
    docs.html) put /docs "$scratch/$page" ;;
    *) put / "$scratch/$page" ;;
    esac
done

type_of()
{
    case $1 in
    *.html) echo 'text/html; charset=utf-8' ;;
    *.css) echo 'text/css; charset=utf-8' ;;
    *.js) echo 'text/javascript; charset=utf-8' ;;
    *.svg) echo 'image/svg+xml' ;;
    *.txt) echo 'text/plain; charset=utf-8' ;;
    *)
        echo "embed.sh: no content type for $1" >&2
        exit 1
        ;;
    esac
}

# blob KIND: file number $n of that kind as a symbol of the same name.
blob()
{
    echo "BLOB(\"ix_web_$1_$n\", \"$scratch/$1/$n\");"
    echo "extern const unsigned char ix_web_$1_$n[] __attribute__((visibility(\"hidden\")));"
}

n=0
table=$scratch/table
LC_ALL=C sort "$list" >"$scratch/sorted" # ix_web_find halves its way through the addresses
{
    echo '#include "api/web_files.h"'
    echo
    cat <<'END'
#define BLOB(name, path)                                                                                               \
    __asm__(".pushsection .rodata\n" name ":\n.incbin \"" path "\"\n.byte 0\n.popsection\n")
END
    echo
    while read -r address file; do
        n=$((n + 1))
        cp "$file" "$scratch/raw/$n"
        gzip -9nc "$file" >"$scratch/gzip/$n"
        size=$(wc -c <"$scratch/raw/$n")
        small=$(wc -c <"$scratch/gzip/$n")
        hash=$(sha256sum "$file" | cut -c 1-20)
        blob raw
        zipped="0, 0"
        if [ $((small * 10)) -lt $((size * 9)) ]; then
            blob gzip
            zipped="ix_web_gzip_$n, $small"
        fi
        echo "    {\"$address\", \"$(type_of "$file")\", \"\\\"$hash\\\"\", ix_web_raw_$n, $size, $zipped}," >>"$table"
    done <"$scratch/sorted"
    echo
    echo 'const struct ix_web_file ix_web_files[] = {'
    cat "$table"
    echo '    {0, 0, 0, 0, 0, 0, 0}};'
    echo "const size_t ix_web_file_count = $(wc -l <"$table");"
    echo "const bool ix_web_has_page = $([ -n "$modules" ] && echo true || echo false);"
} >"$output"
