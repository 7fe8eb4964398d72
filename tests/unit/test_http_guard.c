#include "check.h"

#include "api/files.h"
#include "api/guard.h"

#include <string.h>

static const char *const hosts[] = {"device-engine", "iotix.example.org"};
static const struct ix_guard guard = {hosts, IX_ARRAY_LEN(hosts)};

static void expect(int status, const char *host, const char *origin, const char *site)
{
    struct ix_error err = {0};
    struct ix_guard_request request = {host, origin, site};
    int got = ix_guard_check(&guard, &request, &err);
    if (got != status)
        fail_msg("Host %s, Origin %s, Sec-Fetch-Site %s: %d instead of %d", host ? host : "-",
                 origin ? origin : "-", site ? site : "-", got, status);
    if (status)
        assert_true(strlen(err.text) > 10);
}

static void names_that_may_be_somebodys_page_are_refused(void **state)
{
    (void)state;
    expect(0, "localhost", NULL, NULL);
    expect(0, "localhost:8080", NULL, NULL);
    expect(0, "LocalHost:8080", NULL, NULL);
    expect(0, "iotix.localhost:8080", NULL, NULL);
    expect(0, "127.0.0.1:8080", NULL, NULL);
    expect(0, "192.168.1.7", NULL, NULL);
    expect(0, "[::1]:8080", NULL, NULL);
    expect(0, "[fe80::1]", NULL, NULL);
    expect(0, "device-engine:8080", NULL, NULL);
    expect(0, "IOTIX.example.org", NULL, NULL);
    expect(403, "evil.example.com", NULL, NULL);
    expect(403, "evil.example.com:8080", NULL, NULL);
    expect(403, "localhost.evil.example.com", NULL, NULL);
    expect(403, "127.0.0.1.evil.example.com", NULL, NULL);
    expect(403, "127.1", NULL, NULL);
    expect(403, "2130706433", NULL, NULL);
    expect(403, "localhost.", NULL, NULL);
    expect(400, NULL, NULL, NULL);
    expect(400, "", NULL, NULL);
    expect(400, "localhost:http", NULL, NULL);
    expect(400, "localhost:8080:1", NULL, NULL);
    expect(400, "localhost:8080/x", NULL, NULL);
    expect(400, "[::1", NULL, NULL) /* no such address, and no name */;
}

static void pages_of_others_are_refused(void **state)
{
    (void)state;
    expect(0, "localhost:8080", "http://localhost:8080", "same-origin");
    expect(0, "localhost:8080", "https://localhost:8080", NULL);
    expect(0, "localhost:8080", NULL, "same-origin");
    expect(0, "localhost:8080", NULL, "none");
    expect(0, "localhost:8080", NULL, "same-site");
    expect(403, "localhost:8080", "http://evil.example.com", NULL);
    expect(403, "localhost:8080", "http://localhost:3000", "same-site");
    expect(403, "localhost:8080", "http://localhost:8080.evil.example.com", NULL);
    expect(403, "localhost:8080", "null", NULL);
    expect(403, "localhost:8080", "file://", NULL);
    expect(403, "localhost:8080", "", NULL);
    expect(403, "localhost:8080", NULL, "cross-site");
}

static void bodies_are_json(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        int status;
    } cases[] = {
        {"application/json", 0},
        {"Application/JSON", 0},
        {"application/json; charset=utf-8", 0},
        {"application/json;charset=UTF-8", 0},
        {"application/json; charset=\"utf-8\"", 0},
        {"application/merge-patch+json", 0},
        {NULL, 415},
        {"", 415},
        {"text/plain", 415},
        {"application/x-www-form-urlencoded", 415},
        {"application/jsonp", 415},
        {"application/json; charset=latin1", 415},
        {"application/json; charset=utf-8x", 415},
        {"text/plain; application/json", 415},
        {"+json", 415},
        {"multipart/form-data; boundary=x+json", 415},
    };
    for (size_t i = 0; i < IX_ARRAY_LEN(cases); i++) {
        struct ix_error err = {0};
        if (ix_guard_check_json(cases[i].type, &err) != cases[i].status)
            fail_msg("%s should give %d", cases[i].type ? cases[i].type : "no type", cases[i].status);
        if (cases[i].status)
            assert_non_null(strstr(err.text, "application/json"));
    }
}

static void etags(void **state)
{
    (void)state;
    assert_true(ix_etag_matches("\"a\"", "\"a\""));
    assert_true(ix_etag_matches("\"b\", W/\"a\"", "\"a\""));
    assert_true(ix_etag_matches("\"b,c\" ,\"a\"", "\"a\""));
    assert_true(ix_etag_matches("*", "\"a\""));
    assert_false(ix_etag_matches(NULL, "\"a\""));
    assert_false(ix_etag_matches("", "\"a\""));
    assert_false(ix_etag_matches("\"aa\"", "\"a\""));
    assert_false(ix_etag_matches("a", "\"a\""));
    assert_false(ix_etag_matches("\"x, \"a", "\"a\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_may_be_somebodys_page_are_refused),
        cmocka_unit_test(pages_of_others_are_refused),
        cmocka_unit_test(bodies_are_json),
        cmocka_unit_test(etags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
