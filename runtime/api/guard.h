/* Who may ask, before anything else is looked at: defences against web pages that talk to us through a visitor's
 * browser.
 *
 * DNS rebinding: a page's own name can be made to point here, so names in Host are believed only if they can't be
 * somebody's page: addresses, localhost, and names that the operator gave. CSRF: a request that a foreign page sent
 * carries that page's Origin, or Sec-Fetch-Site; programs send neither.
 * A link that somebody follows is neither: it brings them here, and its page learns nothing (router.c leaves
 * Sec-Fetch-Site out then). */
#ifndef IX_API_GUARD_H
#define IX_API_GUARD_H

#include "base/error.h"

struct ix_guard {
    const char *const *hosts; /* names allowed in Host beside addresses and localhost, without port */
    size_t host_count;
};

struct ix_guard_request {
    const char *host;       /* Host, NULL if not sent */
    const char *origin;     /* Origin */
    const char *fetch_site; /* Sec-Fetch-Site */
};

/* 0, or 400/403 with what to do in *err. */
int ix_guard_check(const struct ix_guard *guard, const struct ix_guard_request *request,
                   struct ix_error *err);

/* 0, or 415: `type` (NULL: none sent) must be JSON, in UTF-8 if it says. */
int ix_guard_check_json(const char *type, struct ix_error *err);

#endif
