#include "api/guard.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_LEN 255

/* The name or address in "name:port" or "[address]:port"; false if it is none of these. */
static bool split_authority(const char *text, char name[NAME_MAX_LEN + 1])
{
    size_t len;
    const char *rest;
    if (*text == '[') {
        len = strcspn(++text, "]");
        if (!text[len])
            return false;
        rest = text + len + 1;
    } else {
        len = strcspn(text, ":");
        rest = text + len;
    }
    if (len == 0 || len > NAME_MAX_LEN)
        return false;
    memcpy(name, text, len);
    name[len] = '\0';
    if (*rest == '\0')
        return true;
    size_t digits = *rest == ':' ? strspn(rest + 1, "0123456789") : 0;
    return *rest == ':' && digits <= 5 && rest[1 + digits] == '\0';
}

static bool is_address(const char *name)
{
    unsigned char room[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, room) == 1 || inet_pton(AF_INET6, name, room) == 1;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), tail = strlen(end);
    return len > tail && strcasecmp(text + len - tail, end) == 0;
}

static bool is_known(const struct ix_guard *guard, const char *name)
{
    if (is_address(name) || strcasecmp(name, "localhost") == 0 || ends_with(name, ".localhost"))
        return true;
    for (size_t i = 0; i < guard->host_count; i++)
        if (strcasecmp(guard->hosts[i], name) == 0)
            return true;
    return false;
}

/* "http://host:port" names the same place as Host. */
static bool is_same_origin(const char *origin, const char *host)
{
    if (strncasecmp(origin, "http://", 7) == 0)
        return strcasecmp(origin + 7, host) == 0;
    return strncasecmp(origin, "https://", 8) == 0 && strcasecmp(origin + 8, host) == 0;
}

int ix_guard_check(const struct ix_guard *guard, const struct ix_guard_request *request, struct ix_error *err)
{
    char name[NAME_MAX_LEN + 1];
    if (!request->host || !split_authority(request->host, name)) {
        ix_fail(err, -EINVAL, "the header Host is missing, or no \"name:port\"");
        return 400;
    }
    if (!is_known(guard, name)) {
        ix_fail(err, -EPERM,
                "the name \"%.100s\" in Host is not one of this service: use an address or localhost, or "
                "allow the "
                "name with --allow-host",
                name);
        return 403;
    }
    const char *site = request->fetch_site;
    bool foreign = request->origin ? !is_same_origin(request->origin, request->host)
                                   : site && strcasecmp(site, "cross-site") == 0;
    if (foreign) {
        ix_fail(err, -EPERM, "a page of %.100s may not talk to this service",
                request->origin ? request->origin : "another site");
        return 403;
    }
    return 0;
}

int ix_guard_check_json(const char *type, struct ix_error *err)
{
    size_t len = type ? strcspn(type, "; \t") : 0;
    bool json = len == 16 && strncasecmp(type, "application/json", 16) == 0;
    json = json || (len > 17 && strncasecmp(type, "application/", 12) == 0 &&
                    strncasecmp(type + len - 5, "+json", 5) == 0);
    const char *charset = type ? strcasestr(type + len, "charset=") : NULL;
    if (charset) {
        charset += 8 + (charset[8] == '"');
        if (strncasecmp(charset, "utf-8", 5) != 0 || isalnum((unsigned char)charset[5]))
            json = false;
    }
    if (json)
        return 0;
    ix_fail(err, -EINVAL, "%s%.80s%s; send JSON as \"Content-Type: application/json\"",
            type ? "the body is " : "the body has no Content-Type", type ? type : "", "");
    return 415;
}
