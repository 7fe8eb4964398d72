#include "control/journal_file.h"

#include "base/pack.h"
#include "base/random.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#define MAGIC      "IXJRNL1\n"
#define MAGIC_LEN  8
#define HEAD       9 /* length, checksum, type */
#define QUEUE_MAX  (64u << 20)
#define CLOSE_NS   10000000000ull
#define SYNC_EVERY (8u << 20) /* bytes */

struct ix_journal_file {
    int fd;
    uint64_t limit;
    uint64_t size; /* handed over */
    struct ix_buf filling;
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_cond_t work, idle;
    /* under the mutex */
    struct ix_buf queue;
    bool closing, done;
    int fault;
};

static uint32_t checksum(const void *type_and_payload, size_t len)
{
    return (uint32_t)(ix_hash64(type_and_payload, len) ^ len * 0x9e3779b1u);
}

static void put_frame(struct ix_buf *out, uint8_t type, const void *payload, size_t len)
{
    size_t start = out->len;
    ix_pack_u32(out, (uint32_t)len);
    ix_pack_u32(out, 0);
    ix_pack_u8(out, type);
    if (len)
        ix_buf_put(out, payload, len);
    if (out->overflow)
        return;
    uint32_t sum = checksum(out->data + start + 8, len + 1);
    for (size_t i = 0; i < 4; i++)
        out->data[start + 4 + i] = (char)(sum >> 8 * i);
}

const char *ix_journal_fault_text(int fault)
{
    return fault == -E2BIG     ? "it has reached its limit"
           : fault == -ENOBUFS ? "the disk is too slow"
                               : strerror(-fault);
}

/* ---- the writing thread ---- */

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Cuts what was written in part, and says why it ends: that often fits into the file's last block. */
static void stop_at(int fd, uint64_t end, int fault)
{
    struct ix_buf last;
    const char *why = ix_journal_fault_text(fault);
    ix_buf_init(&last, 4096);
    if (ftruncate(fd, (off_t)end) == 0 && lseek(fd, (off_t)end, SEEK_SET) >= 0) {
        put_frame(&last, IX_JOURNAL_STOPPED, why, strlen(why));
        if (write_all(fd, ix_buf_cstr(&last), last.len) < 0 && ftruncate(fd, (off_t)end) < 0)
            last.len = 0; /* a torn tail is ignored as well */
    }
    ix_buf_deinit(&last);
}

static void write_queued(void *context)
{
    struct ix_journal_file *file = context;
    struct ix_buf writing;
    uint64_t written = MAGIC_LEN, unsynced = 0;
    ix_buf_init(&writing, 2 * QUEUE_MAX);
    int fault = 0;
    uv_mutex_lock(&file->mutex);
    for (;;) {
        while (!file->queue.len && !file->closing)
            uv_cond_wait(&file->work, &file->mutex);
        if (!file->queue.len)
            break;
        struct ix_buf swap = file->queue;
        file->queue = writing;
        writing = swap;
        uv_mutex_unlock(&file->mutex);
        fault = write_all(file->fd, writing.data, writing.len);
        if (fault < 0)
            stop_at(file->fd, written, fault);
        written += writing.len;
        unsynced += writing.len;
        ix_buf_clear(&writing);
        if (unsynced > SYNC_EVERY) {
            fdatasync(file->fd);
            unsynced = 0;
        }
        uv_mutex_lock(&file->mutex);
        if (fault < 0)
            break;
    }
    if (fault < 0 && !file->fault)
        file->fault = fault;
    uv_mutex_unlock(&file->mutex);
    fdatasync(file->fd);
    ix_buf_deinit(&writing);
    uv_mutex_lock(&file->mutex);
    file->done = true;
    uv_cond_signal(&file->idle);
    uv_mutex_unlock(&file->mutex);
}

/* Signals are for the loop's thread. */
static int start_thread(struct ix_journal_file *file)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = uv_thread_create(&file->thread, write_queued, file);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int ix_journal_file_create(const char *path, uint64_t limit, struct ix_journal_file **result,
                           struct ix_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return ix_fail(err, -errno, "can't make \"%s\": %s", path, strerror(errno));
    int code = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : write_all(fd, MAGIC, MAGIC_LEN);
    struct ix_journal_file *file = ix_calloc(1, sizeof(*file));
    if (code == 0) {
        file->fd = fd;
        file->limit = limit;
        file->size = MAGIC_LEN;
        ix_buf_init(&file->queue, 2 * QUEUE_MAX);
        ix_buf_init(&file->filling, IX_JOURNAL_FRAME_MAX + HEAD);
        uv_mutex_init(&file->mutex);
        uv_cond_init(&file->work);
        uv_cond_init(&file->idle);
        code = start_thread(file);
    }
    if (code < 0) {
        close(fd);
        unlink(path);
        free(file);
        return ix_fail(err, code, "can't write \"%s\": %s", path, strerror(-code));
    }
    *result = file;
    return 0;
}

void ix_journal_file_append(struct ix_journal_file *file, uint8_t type, const struct ix_buf *payload)
{
    struct ix_buf *frame = &file->filling;
    ix_buf_clear(frame);
    put_frame(frame, type, ix_buf_cstr(payload), payload->len);
    uv_mutex_lock(&file->mutex);
    bool stopped = file->fault != 0;
    if (!stopped && (payload->overflow || frame->overflow || file->size + frame->len > file->limit))
        file->fault = -E2BIG;
    else if (!stopped && file->queue.len && file->queue.len + frame->len > QUEUE_MAX)
        file->fault = -ENOBUFS;
    if (!stopped && file->fault) {
        const char *why = ix_journal_fault_text(file->fault);
        ix_buf_clear(frame);
        put_frame(frame, IX_JOURNAL_STOPPED, why, strlen(why));
    }
    if (!stopped) {
        ix_buf_put(&file->queue, frame->data, frame->len);
        file->size += frame->len;
        uv_cond_signal(&file->work);
    }
    uv_mutex_unlock(&file->mutex);
}

int ix_journal_file_fault(const struct ix_journal_file *file)
{
    struct ix_journal_file *own = (struct ix_journal_file *)file;
    uv_mutex_lock(&own->mutex);
    int fault = own->fault;
    uv_mutex_unlock(&own->mutex);
    return fault;
}

uint64_t ix_journal_file_size(const struct ix_journal_file *file)
{
    return file->size;
}

int ix_journal_file_close(struct ix_journal_file *file)
{
    if (!file)
        return 0;
    uv_mutex_lock(&file->mutex);
    file->closing = true;
    uv_cond_signal(&file->work);
    bool late = false;
    while (!file->done && !late)
        late = uv_cond_timedwait(&file->idle, &file->mutex, CLOSE_NS) != 0;
    int fault = file->fault;
    bool done = file->done;
    uv_mutex_unlock(&file->mutex);
    if (!done)
        return -ETIMEDOUT; /* the thread still waits for the disk and needs all this */
    uv_thread_join(&file->thread);
    uv_cond_destroy(&file->work);
    uv_cond_destroy(&file->idle);
    uv_mutex_destroy(&file->mutex);
    ix_buf_deinit(&file->queue);
    ix_buf_deinit(&file->filling);
    close(file->fd);
    free(file);
    return fault;
}

/* ---- reading ---- */

int ix_journal_reader_open(struct ix_journal_reader *reader, const char *path, struct ix_error *err)
{
    struct stat info;
    char magic[MAGIC_LEN];
    *reader = (struct ix_journal_reader){.stream = fopen(path, "re")};
    if (!reader->stream)
        return ix_fail(err, -errno, "can't read \"%s\": %s", path, strerror(errno));
    if (fstat(fileno(reader->stream), &info) < 0 || !S_ISREG(info.st_mode) ||
        fread(magic, 1, MAGIC_LEN, reader->stream) != MAGIC_LEN || memcmp(magic, MAGIC, MAGIC_LEN) != 0) {
        int first = fseek(reader->stream, 0, SEEK_SET) == 0 ? fgetc(reader->stream) : EOF;
        fclose(reader->stream);
        reader->stream = NULL;
        return ix_fail(err, -EPROTO,
                       first == EOF ? "\"%s\" is no journal of a run: it is empty"
                       : first == '{'
                           ? "\"%s\" is no journal of a run, but JSON: reports are made from journals; "
                             "iotix report lists the runs that have one"
                           : "\"%s\" is no journal of a run, or one of another version of iotix",
                       path);
    }
    reader->size = (uint64_t)info.st_size;
    reader->offset = MAGIC_LEN;
    ix_buf_init(&reader->payload, IX_JOURNAL_FRAME_MAX);
    return 0;
}

bool ix_journal_reader_seek(struct ix_journal_reader *reader, uint64_t wanted)
{
    unsigned char head[HEAD];
    for (;;) {
        if (fread(head, 1, HEAD, reader->stream) != HEAD)
            return false;
        struct ix_reader in = ix_reader_of(head, HEAD);
        uint32_t len = ix_read_u32(&in), sum = ix_read_u32(&in);
        uint8_t type = ix_read_u8(&in);
        /* A length that was torn or damaged asks for no more memory than the file has. */
        if (len > IX_JOURNAL_FRAME_MAX || reader->offset + HEAD + len > reader->size)
            return false;
        if (type < 64 && !(wanted >> type & 1)) {
            if (fseeko(reader->stream, (off_t)len, SEEK_CUR) < 0)
                return false;
            reader->offset += HEAD + len;
            continue;
        }
        ix_buf_clear(&reader->payload);
        ix_buf_char(&reader->payload, (char)type);
        if (!ix_buf_reserve(&reader->payload, len + 1) ||
            fread(reader->payload.data + 1, 1, len, reader->stream) != len ||
            checksum(reader->payload.data, len + 1) != sum)
            return false;
        reader->payload.len = len + 1;
        reader->payload.data[len + 1] = '\0';
        reader->type = type;
        reader->offset += HEAD + len;
        return true;
    }
}

bool ix_journal_reader_next(struct ix_journal_reader *reader)
{
    return ix_journal_reader_seek(reader, UINT64_MAX);
}

void ix_journal_reader_close(struct ix_journal_reader *reader)
{
    if (reader->stream)
        fclose(reader->stream);
    ix_buf_deinit(&reader->payload);
    reader->stream = NULL;
}

bool ix_journal_is_live(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool live = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    close(fd);
    return live;
}
