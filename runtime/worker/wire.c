#include "worker/wire.h"

#include "base/random.h"

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

void ix_texts_pack(const char *const *texts, size_t count, struct ix_buf *out)
{
    ix_pack_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        ix_pack_str(out, texts[i]);
}

char **ix_texts_unpack(struct ix_reader *in, size_t *count)
{
    *count = 0;
    size_t n = ix_read_u32(in);
    if (in->bad || n > (size_t)(in->end - in->at) / 4)
        return NULL;
    char **texts = ix_calloc(n + 1, sizeof *texts);
    for (; *count < n; (*count)++)
        texts[*count] = ix_read_str(in);
    return texts;
}

void ix_texts_free(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

char *ix_texts_join(const char *const *texts, size_t count)
{
    struct ix_buf out;
    ix_buf_init(&out, 64 << 10);
    for (size_t i = 0; i < count; i++)
        ix_buf_printf(&out, "%s%s", i ? "," : "", texts[i]);
    char *text = ix_strdup(ix_buf_cstr(&out));
    ix_buf_deinit(&out);
    return text;
}

static void pack_file(const char *path, struct ix_buf *out)
{
    ix_pack_str(out, path ? path : "");
}

static char *read_file(struct ix_reader *in)
{
    char *path = ix_read_str(in);
    if (path && path[0])
        return path;
    free(path);
    return NULL;
}

void ix_wire_tls_pack(const struct ix_wire_tls *tls, struct ix_buf *out)
{
    ix_pack_u8(out, tls->is_on);
    ix_pack_u8(out, tls->insecure);
    pack_file(tls->ca_file, out);
    pack_file(tls->cert_file, out);
    pack_file(tls->key_file, out);
}

void ix_wire_tls_unpack(struct ix_wire_tls *tls, struct ix_reader *in)
{
    tls->is_on = ix_read_u8(in);
    tls->insecure = ix_read_u8(in);
    tls->ca_file = read_file(in);
    tls->cert_file = read_file(in);
    tls->key_file = read_file(in);
}

void ix_wire_tls_deinit(struct ix_wire_tls *tls)
{
    free(tls->ca_file);
    free(tls->cert_file);
    free(tls->key_file);
}

void ix_account_pack(const struct ix_account *a, struct ix_buf *out)
{
    ix_pack_u64(out, a->ticket);
    ix_pack_u64(out, a->id);
    ix_pack_u8(out, a->qos);
    ix_pack_u8(out, a->is_shared);
    ix_pack_u64(out, a->late_ns);
    ix_pack_str(out, a->field);
    ix_pack_str(out, a->username);
    ix_pack_str(out, a->password);
    ix_wire_tls_pack(&a->tls, out);
    ix_texts_pack((const char *const *)a->topics, a->topic_count, out);
    ix_pack_u32(out, (uint32_t)a->target_count);
    for (size_t i = 0; i < a->target_count; i++)
        ix_target_pack(&a->targets[i], out);
}

bool ix_account_unpack(struct ix_account *a, struct ix_reader *in)
{
    *a = (struct ix_account){.ticket = ix_read_u64(in), .id = ix_read_u64(in)};
    a->qos = ix_read_u8(in);
    a->is_shared = ix_read_u8(in);
    a->late_ns = ix_read_u64(in);
    a->field = ix_read_str(in);
    a->username = ix_read_str(in);
    a->password = ix_read_str(in);
    ix_wire_tls_unpack(&a->tls, in);
    a->topics = ix_texts_unpack(in, &a->topic_count);
    size_t targets = ix_read_u32(in);
    if (in->bad || targets > (size_t)(in->end - in->at) / 12)
        return false;
    a->targets = ix_calloc(targets + 1, sizeof *a->targets);
    for (; a->target_count < targets; a->target_count++)
        ix_target_unpack(&a->targets[a->target_count], in);
    return !in->bad && a->topic_count > 0;
}

void ix_account_deinit(struct ix_account *a)
{
    free(a->field);
    free(a->username);
    free(a->password);
    ix_wire_tls_deinit(&a->tls);
    ix_texts_free(a->topics, a->topic_count);
    free(a->targets);
}
