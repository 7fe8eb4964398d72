/* Patterns of device ids. An id is prefix + index + suffix, so that it leads back to its index. */
#include "model/template.h"

#include "base/text.h"

#include <stdlib.h>

#define DIGITS_MAX 20 /* of a 64-bit index */
#define AFFIX_MAX  (IX_DEVICE_ID_MAX - DIGITS_MAX)

bool ix_id_is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!letter && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

/* Length of the placeholder `name` at `at` in either spelling, 0 if there is none. */
static size_t placeholder(const char *at, const char *name)
{
    size_t dollar = *at == '$';
    size_t len = strlen(name);

    if (at[dollar] != '{' || strncmp(at + dollar + 1, name, len) != 0 || at[dollar + 1 + len] != '}')
        return 0;
    return dollar + len + 2;
}

int ix_id_pattern_compile(struct ix_id_pattern *pattern, const char *text, const char *group_id,
                          struct ix_error *err)
{
    struct ix_buf affix;
    size_t skip;
    int indexes = 0;
    bool plain = true, overflow = false;

    *pattern = (struct ix_id_pattern){0};
    if (!text)
        text = "{groupId}-{index}";
    ix_buf_init(&affix, AFFIX_MAX);
    for (const char *at = text; *at;) {
        if ((skip = placeholder(at, "index")) > 0) {
            if (indexes++ == 0) {
                pattern->prefix = ix_strdup(ix_buf_cstr(&affix));
                pattern->prefix_len = affix.len;
                overflow = affix.overflow;
                ix_buf_clear(&affix);
            }
            at += skip;
        } else if ((skip = placeholder(at, "groupId")) > 0) {
            ix_buf_str(&affix, group_id);
            at += skip;
        } else {
            plain = plain && ix_id_is_plain(at, 1);
            ix_buf_char(&affix, *at++);
        }
    }
    pattern->suffix = ix_strdup(ix_buf_cstr(&affix));
    pattern->suffix_len = affix.len;
    overflow = overflow || affix.overflow || pattern->prefix_len + pattern->suffix_len > AFFIX_MAX;
    ix_buf_deinit(&affix);
    if (indexes == 1 && plain && !overflow)
        return 0;
    ix_id_pattern_deinit(pattern);
    if (overflow)
        return ix_fail(err, -EINVAL, "id pattern \"%.80s\": ids may have at most %d characters", text,
                       IX_DEVICE_ID_MAX);
    if (!plain)
        return ix_fail(err, -EINVAL,
                       "id pattern \"%.80s\": besides {index} and {groupId}, ids consist of letters, digits, "
                       "\".\", \"_\" and \"-\"",
                       text);
    return ix_fail(err, -EINVAL, "id pattern \"%.80s\" must contain {index} exactly once", text);
}

void ix_id_pattern_deinit(struct ix_id_pattern *pattern)
{
    free(pattern->prefix);
    free(pattern->suffix);
    *pattern = (struct ix_id_pattern){0};
}

void ix_id_pattern_render(const struct ix_id_pattern *pattern, uint64_t index, struct ix_buf *out)
{
    ix_buf_put(out, pattern->prefix, pattern->prefix_len);
    ix_text_u64(out, index);
    ix_buf_put(out, pattern->suffix, pattern->suffix_len);
}

bool ix_id_pattern_invert(const struct ix_id_pattern *pattern, const char *id, size_t len, uint64_t *index)
{
    const char *digits = id + pattern->prefix_len;
    size_t count = len - pattern->prefix_len - pattern->suffix_len;
    uint64_t value = 0;

    if (len <= pattern->prefix_len + pattern->suffix_len || count > DIGITS_MAX)
        return false;
    if (memcmp(id, pattern->prefix, pattern->prefix_len) != 0 ||
        memcmp(digits + count, pattern->suffix, pattern->suffix_len) != 0)
        return false;
    if (digits[0] == '0' && count > 1)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(digits[i] - '0'), &value))
            return false;
    }
    *index = value;
    return true;
}

/* The character at `i` of an id with an index of `digits` digits; 0 stands for any digit of the index, and
 * '+' for any but a leading zero. */
static char at(const struct ix_id_pattern *p, size_t digits, size_t i)
{
    if (i < p->prefix_len)
        return p->prefix[i];
    if (i >= p->prefix_len + digits)
        return p->suffix[i - p->prefix_len - digits];
    return i == p->prefix_len && digits > 1 ? '+' : 0;
}

static bool may_equal(char a, char b)
{
    if (a == b)
        return true;
    if (a == 0 || a == '+') {
        char swap = a;

        a = b;
        b = swap;
    }
    if (b == 0)
        return (a >= '0' && a <= '9') || a == '+';
    return b == '+' && ((a >= '1' && a <= '9') || a == 0);
}

bool ix_id_pattern_collides(const struct ix_id_pattern *a, const struct ix_id_pattern *b)
{
    /* For each length of a's index the lengths of all parts are known: compare place by place. */
    for (size_t digits_a = 1; digits_a <= DIGITS_MAX; digits_a++) {
        size_t len = a->prefix_len + digits_a + a->suffix_len;
        size_t affixes_b = b->prefix_len + b->suffix_len;
        bool equal = len > affixes_b && len - affixes_b <= DIGITS_MAX;

        for (size_t i = 0; equal && i < len; i++)
            equal = may_equal(at(a, digits_a, i), at(b, len - affixes_b, i));
        if (equal)
            return true;
    }
    return false;
}
