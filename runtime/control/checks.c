#include "control/checks.h"

#include <stdlib.h>
#include <string.h>

#define CHECKS_MAX 10000
#define REASON_MAX 1000 /* bytes kept */

void ix_checks_init(struct ix_checks *checks)
{
    *checks = (struct ix_checks){0};
}

void ix_checks_deinit(struct ix_checks *checks)
{
    for (size_t i = 0; i < checks->count; i++) {
        free(checks->items[i].name);
        free(checks->items[i].tags);
        free(checks->items[i].reason);
    }
    free(checks->items);
    ix_checks_init(checks);
}

/* The latest is the likeliest: a check in a loop. */
static struct ix_check *find(struct ix_checks *checks, const char *name, const char *tags)
{
    for (size_t i = checks->count; i-- > 0;)
        if (strcmp(checks->items[i].name, name) == 0 && strcmp(checks->items[i].tags, tags) == 0)
            return &checks->items[i];
    return NULL;
}

int ix_checks_add(struct ix_checks *checks, const char *name, const char *tags, bool passed,
                  const char *reason, uint64_t at_ns, struct ix_error *err)
{
    if (!tags)
        tags = "";
    struct ix_check *check = find(checks, name, tags);
    if (!check) {
        if (checks->count == CHECKS_MAX)
            return ix_fail(err, -ENOSPC,
                           "check \"%.100s\": there are %d different checks already; keep what varies out of "
                           "the name, so that outcomes of one check add up",
                           name, CHECKS_MAX);
        if ((checks->count & (checks->count - 1)) == 0)
            checks->items =
                ix_realloc(checks->items, (checks->count ? checks->count * 2 : 1) * sizeof(*checks->items));
        check = &checks->items[checks->count++];
        *check = (struct ix_check){ix_strdup(name), ix_strdup(tags), 0, 0, 0, NULL};
    }
    if (passed) {
        check->passes++;
    } else if (check->fails++ == 0) {
        check->first_fail_ns = at_ns;
        check->reason = reason && *reason ? ix_strndup(reason, strnlen(reason, REASON_MAX)) : NULL;
    }
    return 0;
}
