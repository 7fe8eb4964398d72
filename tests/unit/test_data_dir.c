#include "control/data_dir.h"

#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[256];

static int set_up(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof(folder), "%s/iotix-data-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char *command = ix_asprintf("rm -rf '%s'", folder);
    int rc = system(command);
    free(command);
    return rc;
}

static void expect_path(const char *option, const char *expected)
{
    char *path;
    struct ix_error err;
    assert_number(ix_data_dir_path(option, &path, &err), 0);
    assert_string_equal(path, expected);
    free(path);
}

static void option_then_state_then_home(void **state)
{
    (void)state;
    setenv("HOME", "/home/someone", 1);
    setenv("XDG_STATE_HOME", "/var/state", 1);
    expect_path("here", "here");
    expect_path(NULL, "/var/state/iotix");
    setenv("XDG_STATE_HOME", "relative", 1); /* the specification: ignore it */
    expect_path(NULL, "/home/someone/.local/state/iotix");
    unsetenv("XDG_STATE_HOME");
    unsetenv("HOME");
    char *path;
    struct ix_error err;
    assert_number(ix_data_dir_path(NULL, &path, &err), -ENOENT);
    assert_non_null(strstr(err.text, "--data-dir"));
    assert_number(ix_data_dir_path("", &path, &err), -EINVAL);
}

static void is_made_for_its_owner_only(void **state)
{
    (void)state;
    char *deep = ix_asprintf("%s/a/b/c/", folder), *path, *runs;
    struct ix_error err;
    struct stat info;
    umask(0);
    assert_number(ix_data_dir_open(deep, &path, &err), 0);
    assert_number(stat(path, &info), 0);
    assert_number(info.st_mode & 0777, 0700);
    assert_number(ix_data_dir_sub(path, "runs", &runs, &err), 0);
    assert_number(stat(runs, &info), 0);
    assert_number(info.st_mode & 0777, 0700);
    free(runs);
    free(path);
    assert_number(ix_data_dir_open(deep, &path, &err), 0); /* again */
    free(path);
    free(deep);
}

static void says_what_is_in_the_way(void **state)
{
    (void)state;
    char *file = ix_asprintf("%s/file", folder), *below = ix_asprintf("%s/file/deeper", folder), *path;
    struct ix_error err;
    fclose(fopen(file, "w"));
    assert_number(ix_data_dir_open(file, &path, &err), -ENOTDIR);
    assert_non_null(strstr(err.text, file));
    assert_number(ix_data_dir_open(below, &path, &err), -ENOTDIR);
    assert_non_null(strstr(err.text, "--data-dir"));
    free(file);
    free(below);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(option_then_state_then_home, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_made_for_its_owner_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_what_is_in_the_way, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
