/* A loop for each test; one that hangs is ended. */
#ifndef IX_TESTS_LOOP_FIXTURE_H
#define IX_TESTS_LOOP_FIXTURE_H

#include "check.h"
#include "loop/loop.h"

#include <unistd.h>

#define FAILSAFE_S 30 /* a test that hangs is ended by SIGALRM */

static struct ix_loop loop;

static inline int set_up(void **state)
{
    (void)state;
    struct ix_error err;
    alarm(FAILSAFE_S);
    return ix_loop_init(&loop, &err);
}

static inline int tear_down(void **state)
{
    (void)state;
    ix_loop_deinit(&loop);
    alarm(0);
    return 0;
}

#define LOOP_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
