/* A file of checksummed frames that only grows: what the journal of a run is made of.
 *
 * "IXJRNL1\n", then frames: u32 length of the payload, u32 checksum, u8 type, payload. Little endian. Whatever
 * follows the last whole frame was being written when the writer died, and is ignored.
 *
 * Frames are queued and written by a thread of their own, so that a slow disk never blocks the caller. The
 * writer holds a lock (flock) on the file as long as it lives: that is how others know that a run goes on. */
#ifndef IX_CONTROL_JOURNAL_FILE_H
#define IX_CONTROL_JOURNAL_FILE_H

#include "base/buf.h"

#include <stdio.h>

#define IX_JOURNAL_FRAME_MAX (64u << 20)

struct ix_journal_file;

/* A new file (mode 0600), locked; -EEXIST if there is one. `limit`: bytes that the file may have. */
int ix_journal_file_create(const char *path, uint64_t limit, struct ix_journal_file **file,
                           struct ix_error *err);
/* Queues one frame. After a fault nothing more is taken. */
void ix_journal_file_append(struct ix_journal_file *file, uint8_t type, const struct ix_buf *payload);
/* Why nothing more is written, or 0: a negative errno (-ENOSPC: the disk is full; -E2BIG: the file's own limit; -ENOBUFS:
 * the disk is so slow that 64 MiB wait for it). */
int ix_journal_file_fault(const struct ix_journal_file *file);
const char *ix_journal_fault_text(int fault);
/* Bytes handed over so far. */
uint64_t ix_journal_file_size(const struct ix_journal_file *file);
/* Writes what is queued, waits until it is on the disk (for 10 s at most, so that a dead disk doesn't keep the
 * program), and frees. The fault, or 0. NULL: 0. */
int ix_journal_file_close(struct ix_journal_file *file);

/* After a fault the writer leaves one last frame of this type, with its text, where it fits. */
#define IX_JOURNAL_STOPPED 255

struct ix_journal_reader {
    FILE *stream;
    struct ix_buf payload;
    uint8_t type;
    uint64_t offset; /* behind the last whole frame */
    uint64_t size;   /* of the file when it was opened */
};

/* -ENOENT, -EACCES …; -EPROTO: no journal, or one of another format. */
int ix_journal_reader_open(struct ix_journal_reader *reader, const char *path, struct ix_error *err);
/* The next frame into type and payload; false at the end, or at what is left of a torn frame. */
bool ix_journal_reader_next(struct ix_journal_reader *reader);
/* The same, but the payloads of types that `wanted` doesn't have (bit per type, below 64) are passed over unread and
 * unchecked. */
bool ix_journal_reader_seek(struct ix_journal_reader *reader, uint64_t wanted);
void ix_journal_reader_close(struct ix_journal_reader *reader);

/* True if a live process writes the file. */
bool ix_journal_is_live(const char *path);

#endif
