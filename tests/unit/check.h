/* What every unit test includes: cmocka with the headers it needs before it. */
#ifndef IX_TESTS_CHECK_H
#define IX_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka 1.1.5 compares integers through an unsigned type that may warn about signs. */
#define assert_number(a, b) assert_int_equal((intmax_t)(a), (intmax_t)(b))

#endif
