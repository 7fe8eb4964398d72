/* Numbers as text: integers by pairs of digits, decimals without printf where that is exact. */
#include "base/text.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX 400 /* -DBL_MAX with 15 decimals has 326 characters */

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                            "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                            "8081828384858687888990919293949596979899";

static const uint64_t powers[16] = {1ull,
                                    10ull,
                                    100ull,
                                    1000ull,
                                    10000ull,
                                    100000ull,
                                    1000000ull,
                                    10000000ull,
                                    100000000ull,
                                    1000000000ull,
                                    10000000000ull,
                                    100000000000ull,
                                    1000000000000ull,
                                    10000000000000ull,
                                    100000000000000ull,
                                    1000000000000000ull};

/* Writes the digits of `value` so that they end before `end`; returns where they begin. */
static char *digits_before(char *end, uint64_t value)
{
    while (value >= 100) {
        end -= 2;
        memcpy(end, pairs + 2 * (value % 100), 2);
        value /= 100;
    }
    if (value >= 10) {
        end -= 2;
        memcpy(end, pairs + 2 * value, 2);
    } else
        *--end = (char)('0' + value);
    return end;
}

void ix_text_u64(struct ix_buf *buf, uint64_t value)
{
    char text[20];
    char *end = text + sizeof(text);
    char *at = digits_before(end, value);
    ix_buf_put(buf, at, (size_t)(end - at));
}

void ix_text_i64(struct ix_buf *buf, int64_t value)
{
    char text[21];
    char *end = text + sizeof(text);
    char *at = digits_before(end, value < 0 ? -(uint64_t)value : (uint64_t)value);
    if (value < 0)
        *--at = '-';
    ix_buf_put(buf, at, (size_t)(end - at));
}

/* [-]whole.fraction, where the fraction has exactly `decimals` digits. */
static void put_parts(struct ix_buf *buf, bool minus, uint64_t whole, uint64_t fraction, int decimals)
{
    char text[40];
    char *end = text + sizeof(text);
    char *at = end;
    if (decimals) {
        char *stop = end - decimals;
        at = fraction ? digits_before(end, fraction) : end;
        while (at > stop)
            *--at = '0';
        *--at = '.';
    }
    at = digits_before(at, whole);
    if (minus)
        *--at = '-';
    ix_buf_put(buf, at, (size_t)(end - at));
}

void ix_text_fixed(struct ix_buf *buf, double value, int decimals)
{
    if (!isfinite(value)) {
        ix_buf_str(buf, "null");
        return;
    }
    IX_REQUIRE(decimals >= 0 && decimals < (int)IX_ARRAY_LEN(powers));
    double size = fabs(value);
    if (size >= 0x1p63) {
        char text[TEXT_MAX];
        ix_buf_put(buf, text, (size_t)snprintf(text, sizeof(text), "%.*f", decimals, value));
        return;
    }
    /* size = mantissa · 2^-shift; the part behind the point, below 2^53 / 2^shift, times 10^15 < 2^50 stays
     * exact in 128 bits. */
    uint64_t bits;
    memcpy(&bits, &size, sizeof(bits));
    int exponent = (int)(bits >> 52);
    uint64_t mantissa = (bits & 0xfffffffffffffull) | (exponent ? 0x10000000000000ull : 0);
    int shift = 1075 - (exponent ? exponent : 1);
    uint64_t whole = 0, fraction = 0;
    if (shift <= 0)
        whole = mantissa << -shift;
    else if (shift < 128) {
        whole = shift < 64 ? mantissa >> shift : 0;
        uint64_t below = shift < 64 ? mantissa & ((1ull << shift) - 1) : mantissa;
        unsigned __int128 scaled = (unsigned __int128)below * powers[decimals];
        unsigned __int128 half = (unsigned __int128)1 << (shift - 1);
        unsigned __int128 rest = scaled & (half + half - 1);
        fraction = (uint64_t)(scaled >> shift);
        uint64_t last_digit = decimals ? fraction : whole;
        if (rest > half || (rest == half && (last_digit & 1)))
            fraction++;
        if (fraction == powers[decimals]) {
            fraction = 0;
            whole++;
        }
    } /* else: below 2^53 · 10^15 / 2^128, which rounds to zero */
    put_parts(buf, value < 0 && (whole | fraction), whole, fraction, decimals);
}

/* Values that were typed with up to 6 decimals, at most 15 digits in all. The quotient of two exact doubles
 * is rounded correctly, so it equals `size` exactly if the text reads back as `size`. */
static bool put_short_decimal(struct ix_buf *buf, double value)
{
    double size = fabs(value);
    if (size < 1e-3 || size >= 1e9)
        return false;
    for (int decimals = 1; decimals <= 6; decimals++) {
        double scale = (double)powers[decimals];
        double scaled = nearbyint(size * scale);
        if (scaled / scale == size) {
            uint64_t number = (uint64_t)scaled;
            put_parts(buf, value < 0, number / powers[decimals], number % powers[decimals], decimals);
            return true;
        }
    }
    return false;
}

void ix_text_double(struct ix_buf *buf, double value)
{
    if (!isfinite(value)) {
        ix_buf_str(buf, "null");
        return;
    }
    if (fabs(value) < 0x1p53 && value == (double)(int64_t)value) {
        ix_text_i64(buf, (int64_t)value);
        return;
    }
    if (put_short_decimal(buf, value))
        return;
    /* 15 digits always survive in a normal double, fewer in a subnormal one. */
    char text[32];
    for (int digits = fabs(value) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    ix_buf_str(buf, text);
}
