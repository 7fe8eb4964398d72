/* The files of the web page, embedded at build from api/web/ and its npm packages (api/web/README.md). */
#ifndef IX_API_WEB_FILES_H
#define IX_API_WEB_FILES_H

#include <stdbool.h>
#include <stddef.h>

/* One file. All pointers are static and never freed. */
struct ix_web_file {
    const char *path;          /* as in the URL: "/", "/docs", "/assets/1f0c33a2b9d7/js/main.js" */
    const char *type;          /* content type */
    const char *etag;          /* quoted, a hash of the contents */
    const unsigned char *data; /* as it is, followed by a zero byte that is not counted */
    size_t size;
    const unsigned char *gzip; /* compressed; NULL where that would save less than a tenth */
    size_t gzip_size;
};

/* The table that the build generates, in the order of strcmp over the paths. */
extern const struct ix_web_file ix_web_files[];
extern const size_t ix_web_file_count;
/* False: built without npm, "/" is a plain page and "/docs" is not there. */
extern const bool ix_web_has_page;

/* The file at a path of a URL without its query, or NULL. */
const struct ix_web_file *ix_web_find(const char *path);

/* Content-Security-Policy of every file in the table. Nothing inline, nothing from elsewhere. The documentation's viewer
 * brings its icons as data: addresses. */
#define IX_WEB_CSP                                                                                        \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " \
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

#endif
