#include "api/files.h"

#include <string.h>
#include <strings.h>

bool ix_etag_matches(const char *list, const char *etag)
{
    size_t len = strlen(etag);
    while (list && *list) {
        list += strspn(list, " \t,");
        if (*list == '*')
            return true;
        if (strncmp(list, "W/", 2) == 0)
            list += 2;
        if (strncmp(list, etag, len) == 0 && (list[len] == '\0' || strchr(" \t,", list[len])))
            return true;
        if (*list == '"' && strchr(list + 1, '"'))
            list = strchr(list + 1, '"') + 1;
        else
            list += strcspn(list, ",");
    }
    return false;
}

/* "gzip" among the codings of Accept-Encoding, unless with q=0. */
static bool takes_gzip(const char *accept)
{
    const char *at = accept ? strcasestr(accept, "gzip") : NULL;
    if (!at)
        return false;
    at += 4;
    at += strspn(at, " \t");
    if (*at != ';')
        return true;
    at += 1 + strspn(at + 1, " \t");
    return !(strncasecmp(at, "q=0", 3) == 0 && strspn(at + 3, ".0") == strcspn(at + 3, ", \t"));
}

void ix_file_answer(struct ix_exchange *x, const struct ix_web_file *file)
{
    /* Addresses of assets have their build's hash in them; what is at "/" says which build. */
    bool is_for_ever = strncmp(file->path, "/assets/", 8) == 0;
    ix_exchange_set_header(x, "Cache-Control",
                           is_for_ever ? "public, max-age=31536000, immutable" : "no-cache");
    ix_exchange_set_header(x, "ETag", file->etag);
    ix_exchange_set_header(x, "Content-Security-Policy", IX_WEB_CSP);
    ix_exchange_set_header(x, "X-Frame-Options", "DENY");
    ix_exchange_set_header(x, "Referrer-Policy", "no-referrer");
    ix_exchange_set_header(x, "Cross-Origin-Opener-Policy", "same-origin");
    if (file->gzip)
        ix_exchange_set_header(x, "Vary", "Accept-Encoding");
    if (ix_etag_matches(ix_exchange_header(x, "If-None-Match"), file->etag)) {
        ix_exchange_answer(x, 304, NULL, NULL, 0);
    } else if (file->gzip && takes_gzip(ix_exchange_header(x, "Accept-Encoding"))) {
        ix_exchange_set_header(x, "Content-Encoding", "gzip");
        ix_exchange_answer_static(x, 200, file->type, file->gzip, file->gzip_size);
    } else {
        ix_exchange_answer_static(x, 200, file->type, file->data, file->size);
    }
}
