#include "generator/stamp.h"

#include "base/file.h"
#include "generator/classes.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAGIC     "ixS1"
#define MAGIC_LEN 4
#define FILLING   "abcdefghijklmnopqrstuvwxyz0123456789"

/* Without /proc: equal everywhere, hosts share it then. */
uint32_t ix_stamp_clock(void)
{
    static uint32_t mark;
    char id[128];
    FILE *f;

    if (mark)
        return mark;
    f = fopen("/proc/sys/kernel/random/boot_id", "re");
    size_t len = f ? fread(id, 1, sizeof(id) / 2, f) : 0;
    if (f)
        fclose(f);
    ssize_t more = readlink("/proc/self/ns/time", id + len, sizeof(id) - len);
    len += more > 0 ? (size_t)more : 0;
    mark = (uint32_t)ix_hash64(id, len) | 1;
    return mark;
}

void ix_stamp_write(char *out, const struct ix_stamp *stamp)
{
    uint32_t mark = htole32(ix_stamp_clock());
    uint64_t tick = htole64(stamp->tick), sent = htole64(stamp->sent_ns);

    memcpy(out, MAGIC, MAGIC_LEN);
    memcpy(out + 4, &mark, sizeof(mark));
    memcpy(out + 8, &tick, sizeof(tick));
    memcpy(out + 16, &sent, sizeof(sent));
}

bool ix_stamp_read(const void *payload, size_t len, struct ix_stamp *stamp)
{
    const char *in = payload;
    uint32_t mark;

    if (len < IX_STAMP_LEN || memcmp(in, MAGIC, MAGIC_LEN) != 0)
        return false;
    memcpy(&mark, in + 4, sizeof(mark));
    stamp->clock = le32toh(mark);
    memcpy(&stamp->tick, in + 8, sizeof(stamp->tick));
    memcpy(&stamp->sent_ns, in + 16, sizeof(stamp->sent_ns));
    stamp->tick = le64toh(stamp->tick);
    stamp->sent_ns = le64toh(stamp->sent_ns);
    return true;
}

/* ---- the generator: one buffer, of which each sample writes the beginning anew ---- */

static int stamp_open(struct ix_generator *g, const struct ix_model *model, struct ix_error *err)
{
    char *bytes = ix_malloc(g->spec->size);

    (void)model;
    (void)err;
    for (size_t i = 0; i < g->spec->size; i++)
        bytes[i] = FILLING[i % (sizeof(FILLING) - 1)];
    g->data = bytes;
    return 0;
}

static void stamp_close(struct ix_generator *g)
{
    free(g->data);
}

static int stamp_sample(const struct ix_generator *g, const struct ix_draw *draw, struct ix_value *out,
                        struct ix_error *err)
{
    (void)err;
    if (g->spec->size >= IX_STAMP_LEN)
        ix_stamp_write(g->data, &(struct ix_stamp){.tick = draw->tick, .sent_ns = draw->now_ns});
    *out = (struct ix_value){.kind = IX_V_BYTES, .text = {g->data, g->spec->size}};
    return 0;
}

const struct ix_generator_class ix_generator_stamp = {
    .name = "stamp",
    .timed = true,
    .open = stamp_open,
    .close = stamp_close,
    .sample = stamp_sample,
};
