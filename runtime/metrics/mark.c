#include "metrics/mark.h"

#include "base/random.h"

#include <endian.h>
#include <string.h>

#define DATA_LEN    24 /* bytes before the check, 32 characters */
#define CHECK_CHARS 6
#define CHECK_MASK  ((1ull << (6 * CHECK_CHARS)) - 1)
#define VERSION     1
#define STAMP       "ixS1"
#define STAMP_LEN   4
#define STAMP_SIGN  '~' /* no filling has it */

static const char letters[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* 0 … 63, or 64: no such letter. */
static unsigned value_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26u;
    if (c >= '0' && c <= '9')
        return c - '0' + 52u;
    return c == '-' ? 62 : c == '_' ? 63 : 64;
}

static void pack(unsigned char data[DATA_LEN], const struct ix_mark *mark)
{
    uint32_t run = htole32(mark->run), slot = htole32(mark->slot), sequence = htole32(mark->sequence),
             late = htole32(mark->late_us);
    uint64_t sent = htole64(mark->sent_us);
    memcpy(data, &run, 4);
    memcpy(data + 4, &slot, 4);
    memcpy(data + 8, &sequence, 4);
    memcpy(data + 12, &sent, 6);
    memcpy(data + 18, &late, 4);
    data[22] = VERSION;
    data[23] = mark->connection;
}

static void unpack(struct ix_mark *mark, const unsigned char data[DATA_LEN])
{
    uint64_t sent = 0;
    memcpy(&mark->run, data, 4);
    memcpy(&mark->slot, data + 4, 4);
    memcpy(&mark->sequence, data + 8, 4);
    memcpy(&sent, data + 12, 6);
    memcpy(&mark->late_us, data + 18, 4);
    mark->run = le32toh(mark->run);
    mark->slot = le32toh(mark->slot);
    mark->sequence = le32toh(mark->sequence);
    mark->sent_us = le64toh(sent);
    mark->late_us = le32toh(mark->late_us);
    mark->connection = data[23];
}

static uint64_t check_of(const unsigned char data[DATA_LEN], const void *payload, size_t len)
{
    unsigned char both[DATA_LEN + 8];
    uint64_t hash = htole64(ix_hash64(payload, len));
    memcpy(both, data, DATA_LEN);
    memcpy(both + DATA_LEN, &hash, sizeof(hash));
    return ix_hash64(both, sizeof(both)) & CHECK_MASK;
}

void ix_mark_put(char *out, const struct ix_mark *mark, const void *payload, size_t len)
{
    unsigned char data[DATA_LEN];
    pack(data, mark);
    for (size_t i = 0; i < DATA_LEN; i += 3) {
        uint32_t three = (uint32_t)data[i] << 16 | (uint32_t)data[i + 1] << 8 | data[i + 2];
        *out++ = letters[three >> 18];
        *out++ = letters[three >> 12 & 63];
        *out++ = letters[three >> 6 & 63];
        *out++ = letters[three & 63];
    }
    uint64_t check = check_of(data, payload, len);
    for (int i = 0; i < CHECK_CHARS; i++)
        *out++ = letters[check >> (6 * (CHECK_CHARS - 1 - i)) & 63];
}

static bool get(const char *text, struct ix_mark *mark, const void *payload, size_t len)
{
    unsigned char data[DATA_LEN];
    uint64_t check = 0;
    unsigned wrong = 0;
    for (size_t i = 0; i < DATA_LEN; i += 3) {
        uint32_t three = 0;
        for (int k = 0; k < 4; k++) {
            unsigned value = value_of((unsigned char)*text++);
            wrong |= value & 64;
            three = three << 6 | (value & 63);
        }
        data[i] = (unsigned char)(three >> 16);
        data[i + 1] = (unsigned char)(three >> 8);
        data[i + 2] = (unsigned char)three;
    }
    for (int i = 0; i < CHECK_CHARS; i++) {
        unsigned value = value_of((unsigned char)*text++);
        wrong |= value & 64;
        check = check << 6 | (value & 63);
    }
    unpack(mark, data);
    return !wrong && data[22] == VERSION && check == check_of(data, payload, len);
}

static bool is_stamp(const char *payload, size_t len)
{
    return len >= IX_MARK_STAMP_MIN && memcmp(payload, STAMP, STAMP_LEN) == 0;
}

static bool is_object(const char *payload, size_t len)
{
    return len >= 2 && payload[0] == '{' && payload[len - 1] == '}';
}

bool ix_mark_fits(const char *payload, size_t len)
{
    return is_object(payload, len) || is_stamp(payload, len);
}

void ix_mark_insert(struct ix_buf *out, const char *payload, size_t len, const char *key, size_t key_len,
                    const struct ix_mark *mark)
{
    bool object = is_object(payload, len);
    size_t keep = object ? len - 1 : len - IX_MARK_LEN;
    ix_buf_clear(out);
    if (!ix_buf_reserve(out, len + key_len + IX_MARK_LEN + 8))
        return;
    memcpy(out->data, payload, keep);
    char *at = out->data + keep;
    if (!object)
        at[-1] = STAMP_SIGN;
    if (object && len > 2)
        *at++ = ',';
    size_t covered = (size_t)(at - out->data);
    if (object) {
        memcpy(at, key, key_len);
        at += key_len;
    }
    ix_mark_put(at, mark, out->data, covered);
    at += IX_MARK_LEN;
    if (object) {
        *at++ = '"';
        *at++ = '}';
    }
    *at = '\0';
    out->len = (size_t)(at - out->data);
}

static bool looks_like_one(const char *text)
{
    for (size_t i = 0; i < IX_MARK_LEN; i++)
        if (value_of((unsigned char)text[i]) == 64)
            return false;
    return true;
}

/* The field with the beginning of a mark of this run: cut off, or changed. Others may have a field of that name,
 * too. */
static bool has_remains(const char *payload, size_t len, const char *key, size_t key_len, uint32_t run)
{
    unsigned char data[3];
    uint32_t tag = htole32(run);
    memcpy(data, &tag, sizeof(data));
    uint32_t three = (uint32_t)data[0] << 16 | (uint32_t)data[1] << 8 | data[2];
    const char begins[] = {letters[three >> 18], letters[three >> 12 & 63], letters[three >> 6 & 63],
                           letters[three & 63]};
    const char *at = len ? memmem(payload, len, key, key_len) : NULL;
    return at && (size_t)(payload + len - at) >= key_len + sizeof(begins) &&
           memcmp(at + key_len, begins, sizeof(begins)) == 0;
}

enum ix_mark_state ix_mark_read(const char *payload, size_t len, const char *property, const char *key,
                                size_t key_len, uint32_t run, struct ix_mark *out)
{
    if (property && strlen(property) == IX_MARK_LEN)
        return get(property, out, payload, len) ? IX_MARK_GOOD : IX_MARK_CORRUPT;
    if (is_stamp(payload, len) && payload[len - IX_MARK_LEN - 1] == STAMP_SIGN) {
        size_t covered = len - IX_MARK_LEN;
        return get(payload + covered, out, payload, covered) ? IX_MARK_GOOD : IX_MARK_CORRUPT;
    }
    size_t tail = key_len + IX_MARK_LEN + 2;
    if (len > tail && memcmp(payload + len - 2, "\"}", 2) == 0 &&
        memcmp(payload + len - tail, key, key_len) == 0 && looks_like_one(payload + len - tail + key_len)) {
        size_t covered = len - tail;
        return get(payload + covered + key_len, out, payload, covered) ? IX_MARK_GOOD : IX_MARK_CORRUPT;
    }
    return has_remains(payload, len, key, key_len, run) ? IX_MARK_CORRUPT : IX_MARK_NONE;
}
