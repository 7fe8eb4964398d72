#include "base/text.h"

/* Length of the valid UTF-8 sequence at `at`, 0 if there is none (RFC 3629, table 3-7 of Unicode). */
static size_t utf8_sequence(const unsigned char *at, size_t left)
{
    unsigned char first = at[0];
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    size_t len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (left < len)
        return 0;
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool ix_text_is_utf8(const char *text, size_t len)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + len;
    while (at < end) {
        size_t step = utf8_sequence(at, (size_t)(end - at));
        if (step == 0)
            return false;
        at += step;
    }
    return true;
}

#define EACH_BYTE(b) ((b)*0x0101010101010101ull)

/* True if the 8 bytes need neither escaping nor checking: ASCII, ≥ 0x20, no quote, no backslash. A byte of x
 * is zero where ((x - 1) & ~x) has its top bit set; with ASCII bytes only there is no false negative. */
static bool plain8(const unsigned char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    uint64_t quote = word ^ EACH_BYTE('"'), backslash = word ^ EACH_BYTE('\\');
    uint64_t found = word | (word - EACH_BYTE(0x20)) | (quote - EACH_BYTE(1)) | (backslash - EACH_BYTE(1));
    return (found & EACH_BYTE(0x80)) == 0;
}

static bool plain1(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void put_escaped(struct ix_buf *buf, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char names[32] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    char name = c < 0x20 ? names[c] : (char)c;
    if (name) {
        char text[2] = {'\\', name};
        ix_buf_put(buf, text, sizeof(text));
    } else {
        char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        ix_buf_put(buf, text, sizeof(text));
    }
}

void ix_text_json_string(struct ix_buf *buf, const char *text, size_t len)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + len;
    ix_buf_char(buf, '"');
    while (at < end) {
        const unsigned char *start = at;
        while (end - at >= 8 && plain8(at))
            at += 8;
        while (at < end && plain1(*at))
            at++;
        if (at > start)
            ix_buf_put(buf, start, (size_t)(at - start));
        if (at == end)
            break;
        size_t sequence = utf8_sequence(at, (size_t)(end - at));
        if (*at < 0x80)
            put_escaped(buf, *at);
        else if (sequence)
            ix_buf_put(buf, at, sequence);
        else
            ix_buf_put(buf, "\xef\xbf\xbd", 3);
        at += sequence ? sequence : 1;
    }
    ix_buf_char(buf, '"');
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void ix_text_base64(struct ix_buf *buf, const void *data, size_t len)
{
    if (len > SIZE_MAX / 2 || !ix_buf_reserve(buf, (len + 2) / 3 * 4)) {
        buf->overflow = true;
        return;
    }
    const unsigned char *at = data;
    char *out = buf->data + buf->len;
    for (; len >= 3; len -= 3, at += 3) {
        uint32_t bits = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *out++ = base64_digits[bits >> shift & 63];
    }
    if (len) {
        uint32_t bits = (uint32_t)at[0] << 16 | (len > 1 ? (uint32_t)at[1] << 8 : 0);
        *out++ = base64_digits[bits >> 18];
        *out++ = base64_digits[bits >> 12 & 63];
        *out++ = len > 1 ? base64_digits[bits >> 6 & 63] : '=';
        *out++ = '=';
    }
    *out = '\0';
    buf->len = (size_t)(out - buf->data);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int64_t ix_text_base64_decode(const char *text, size_t len, void *out, size_t out_size)
{
    if (len % 4)
        return -EINVAL;
    size_t padding =
        len == 0 ? 0 : (size_t)(text[len - 1] == '=') + (text[len - 1] == '=' && text[len - 2] == '=');
    size_t bytes = len / 4 * 3 - padding;
    if (bytes > out_size)
        return -EINVAL;
    unsigned char *to = out;
    uint32_t bits = 0;
    for (size_t i = 0, done = 0; i < len; i++) {
        int value = i < len - padding ? base64_value(text[i]) : 0;
        if (value < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 3)
            for (int shift = 16; shift >= 0; shift -= 8, done++) {
                if (done < bytes)
                    to[done] = (unsigned char)(bits >> shift);
                else if (bits >> shift & 0xff)
                    return -EINVAL; /* bits behind the end: not what an encoder writes */
            }
    }
    return (int64_t)bytes;
}

static char *put_digits(char *out, unsigned value, int count)
{
    for (int i = count - 1; i >= 0; i--, value /= 10)
        out[i] = (char)('0' + value % 10);
    return out + count;
}

void ix_text_iso8601(char out[IX_ISO8601_LEN + 1], int64_t wall_ns)
{
    const int64_t day_ns = 86400 * 1000000000ll;
    int64_t days = wall_ns / day_ns, rest = wall_ns % day_ns;
    if (rest < 0) {
        days--;
        rest += day_ns;
    }
    /* Years that begin on 1 March end with their leap day, so months and days follow from divisions alone;
     * an era has 400 years. Day 0 is 0000-03-01. */
    unsigned day = (unsigned)(days + 719468);
    unsigned era = day / 146097, in_era = day % 146097;
    unsigned year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    unsigned in_year = in_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * in_year + 2) / 153; /* 0 is March */
    unsigned in_month = in_year - (153 * month + 2) / 5 + 1;
    year += 400 * era + (month > 9);
    unsigned ms = (unsigned)(rest / 1000000);
    out = put_digits(out, year, 4);
    *out++ = '-';
    out = put_digits(out, month < 10 ? month + 3 : month - 9, 2);
    *out++ = '-';
    out = put_digits(out, in_month, 2);
    *out++ = 'T';
    out = put_digits(out, ms / 3600000, 2);
    *out++ = ':';
    out = put_digits(out, ms / 60000 % 60, 2);
    *out++ = ':';
    out = put_digits(out, ms / 1000 % 60, 2);
    *out++ = '.';
    out = put_digits(out, ms % 1000, 3);
    *out++ = 'Z';
    *out = '\0';
}
