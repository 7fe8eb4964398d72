#include "worker/wire.h"

#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

uint64_t ix_wire_build(void)
{
    static uint64_t build;
    if (!build) {
        struct stat st = {0};
        struct ix_buf buf;
        ix_buf_init(&buf, 256);
        stat("/proc/self/exe", &st);
        ix_buf_printf(&buf, "%s %lld %lld %lld", IX_VERSION, (long long)st.st_size,
                      (long long)st.st_mtim.tv_sec, (long long)st.st_mtim.tv_nsec);
        build = ix_hash64(buf.data, buf.len);
        ix_buf_deinit(&buf);
    }
    return build;
}

void ix_target_pack(const struct ix_target *target, struct ix_buf *out)
{
    ix_pack_str(out, target->address);
    ix_pack_str(out, target->server_name);
    ix_pack_u32(out, target->port);
}

static void read_text(struct ix_reader *in, char *out, size_t size)
{
    size_t len;
    const void *text = ix_read_bytes(in, &len);
    if (len >= size) {
        in->bad = true;
        len = 0;
    }
    if (len)
        memcpy(out, text, len);
    out[len] = '\0';
}

void ix_target_unpack(struct ix_target *target, struct ix_reader *in)
{
    read_text(in, target->address, sizeof target->address);
    read_text(in, target->server_name, sizeof target->server_name);
    target->port = (uint16_t)ix_read_u32(in);
}

void ix_hello_pack(const struct ix_hello *hello, struct ix_buf *out)
{
    ix_pack_u64(out, hello->build);
    ix_pack_u64(out, hello->run);
    ix_pack_u32(out, hello->worker);
    ix_pack_u32(out, hello->epoch);
    ix_pack_u8(out, hello->role);
    ix_pack_u8(out, hello->log_level);
    ix_pack_u8(out, hello->no_jit);
    ix_pack_u64(out, hello->seed);
    ix_pack_u64(out, hello->run_start_ns);
    ix_pack_u64(out, (uint64_t)hello->wall_offset_ns);
    ix_pack_str(out, hello->scenario_path);
    ix_pack_str(out, hello->scenario);
    ix_pack_str(out, hello->options);
    ix_pack_str(out, hello->allowed_env);
}

int ix_hello_unpack(struct ix_hello *hello, struct ix_reader *in, struct ix_error *err)
{
    memset(hello, 0, sizeof *hello);
    hello->build = ix_read_u64(in);
    hello->run = ix_read_u64(in);
    hello->worker = ix_read_u32(in);
    hello->epoch = ix_read_u32(in);
    hello->role = ix_read_u8(in);
    hello->log_level = ix_read_u8(in);
    hello->no_jit = ix_read_u8(in);
    hello->seed = ix_read_u64(in);
    hello->run_start_ns = ix_read_u64(in);
    hello->wall_offset_ns = (int64_t)ix_read_u64(in);
    hello->scenario_path = ix_read_str(in);
    hello->scenario = ix_read_str(in);
    hello->options = ix_read_str(in);
    hello->allowed_env = ix_read_str(in);
    if (!in->bad)
        return 0;
    ix_hello_deinit(hello);
    return ix_fail(err, -EPROTO, "the controller's HELLO is malformed");
}

void ix_hello_deinit(struct ix_hello *hello)
{
    free(hello->scenario_path);
    free(hello->scenario);
    free(hello->options);
    free(hello->allowed_env);
    memset(hello, 0, sizeof *hello);
}
