/* The table of the web page's files. */
#include "api/web_files.h"

#include <string.h>

#include "check.h"

static void finds_every_file_by_its_path(void **state)
{
    (void)state;
    assert_true(ix_web_file_count > 2);
    for (size_t i = 0; i < ix_web_file_count; i++) {
        assert_ptr_equal(ix_web_find(ix_web_files[i].path), &ix_web_files[i]);
        assert_true(i == 0 || strcmp(ix_web_files[i - 1].path, ix_web_files[i].path) < 0);
    }
    assert_null(ix_web_files[ix_web_file_count].path);
    assert_null(ix_web_find(""));
    assert_null(ix_web_find("/assets"));
    assert_null(ix_web_find("/assets/../web/embed.sh"));
    assert_null(ix_web_find("/assets/js/main.js "));
}

static void every_file_has_type_hash_and_contents(void **state)
{
    (void)state;
    for (size_t i = 0; i < ix_web_file_count; i++) {
        const struct ix_web_file *file = &ix_web_files[i];
        size_t length = strlen(file->etag);
        assert_true(strchr(file->type, '/') != NULL);
        assert_true(length == 22 && file->etag[0] == '"' && file->etag[length - 1] == '"');
        assert_true(file->size > 0);
        assert_int_equal(file->data[file->size], 0);
        if (file->gzip) {
            assert_true(file->gzip_size < file->size);
            assert_int_equal(file->gzip[0], 0x1f);
            assert_int_equal(file->gzip[1], 0x8b);
            assert_int_equal(file->gzip[file->gzip_size], 0);
        }
    }
}

/* At "/assets/HASH" with that behind it. */
static bool has_asset(const char *name)
{
    for (size_t i = 0; i < ix_web_file_count; i++)
        if (strncmp(ix_web_files[i].path, "/assets/", 8) == 0 &&
            strcmp(strchr(ix_web_files[i].path + 8, '/'), name) == 0)
            return true;
    return false;
}

static void the_page_is_a_page(void **state)
{
    const struct ix_web_file *page = ix_web_find("/");
    (void)state;
    assert_non_null(page);
    assert_string_equal(page->type, "text/html; charset=utf-8");
    assert_memory_equal(page->data, "<!doctype html>", 15);
    assert_true((ix_web_find("/docs") != NULL) == ix_web_has_page);
    assert_true(has_asset("/vendor/uplot.js") == ix_web_has_page);
    assert_true(has_asset("/vendor/licenses.txt") == ix_web_has_page);
    assert_true(strstr((const char *)page->data, "/assets/logo.svg") ==
                NULL); /* the build's hash is in between */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_every_file_by_its_path),
        cmocka_unit_test(every_file_has_type_hash_and_contents),
        cmocka_unit_test(the_page_is_a_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
