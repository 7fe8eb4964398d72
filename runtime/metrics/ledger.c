#include "metrics/ledger.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int ix_ledger_create(uint32_t run, struct ix_error *err)
{
    int fd = memfd_create("iotix-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return ix_fail(err, -errno, "can't create the shared memory of the ledger: %s", strerror(errno));
    const uint64_t magic = IX_LEDGER_MAGIC;
    if (ftruncate(fd, sizeof(struct ix_ledger)) < 0 ||
        pwrite(fd, &magic, sizeof(magic), offsetof(struct ix_ledger, magic)) != sizeof(magic) ||
        pwrite(fd, &run, sizeof(run), offsetof(struct ix_ledger, run)) != sizeof(run) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        int code = errno;
        close(fd);
        return ix_fail(err, -code, "can't prepare the shared memory of the ledger: %s", strerror(code));
    }
    return fd;
}

struct ix_ledger *ix_ledger_map(int fd, bool writable, struct ix_error *err)
{
    struct stat info;
    if (fstat(fd, &info) < 0 || (uint64_t)info.st_size != sizeof(struct ix_ledger)) {
        ix_fail(err, -EPROTO, "descriptor %d is no ledger of this build", fd);
        return NULL;
    }
    struct ix_ledger *ledger =
        mmap(NULL, sizeof(*ledger), writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (ledger == MAP_FAILED) {
        ix_fail(err, -errno, "can't map the ledger: %s", strerror(errno));
        return NULL;
    }
    if (ledger->magic != IX_LEDGER_MAGIC) {
        ix_fail(err, -EPROTO, "descriptor %d is no ledger", fd);
        munmap(ledger, sizeof(*ledger));
        return NULL;
    }
    return ledger;
}

void ix_ledger_unmap(struct ix_ledger *ledger)
{
    if (ledger)
        munmap(ledger, sizeof(*ledger));
}

uint16_t ix_ledger_group(struct ix_ledger *ledger, const char *id, bool add)
{
    size_t len = strlen(id);
    if (len == 0 || len >= sizeof(ledger->groups[0]))
        return 0;
    for (uint16_t i = 0; i < IX_LEDGER_GROUPS; i++) {
        if (strcmp(ledger->groups[i], id) == 0)
            return (uint16_t)(i + 1);
        if (ledger->groups[i][0])
            continue;
        if (add)
            memcpy(ledger->groups[i], id, len + 1);
        return add ? (uint16_t)(i + 1) : 0;
    }
    return 0;
}

bool ix_ledger_take(struct ix_ledger *ledger, struct ix_ledger_taker *taker, uint32_t count, uint32_t *first)
{
    if (taker->end - taker->next < count) {
        uint32_t chunks = (count + IX_LEDGER_CHUNK - 1) / IX_LEDGER_CHUNK;
        uint32_t most = IX_LEDGER_SLOTS / IX_LEDGER_CHUNK;
        uint32_t chunk = __atomic_load_n(&ledger->chunks, __ATOMIC_RELAXED);
        do {
            if (chunk > most || most - chunk < chunks)
                return false;
        } while (!__atomic_compare_exchange_n(&ledger->chunks, &chunk, chunk + chunks, false,
                                              __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
        taker->next = chunk * IX_LEDGER_CHUNK;
        taker->end = taker->next + chunks * IX_LEDGER_CHUNK;
    }
    *first = taker->next;
    taker->next += count;
    return true;
}

static bool bit_is_set(const struct ix_ledger_entry *entry, uint32_t sequence)
{
    uint32_t bit = sequence % IX_LEDGER_WINDOW;
    return entry->window[bit / 64] >> (bit % 64) & 1;
}

static void set_bit(struct ix_ledger_entry *entry, uint32_t sequence)
{
    uint32_t bit = sequence % IX_LEDGER_WINDOW;
    entry->window[bit / 64] |= 1ull << (bit % 64);
}

/* The window moves up until `sequence` is its highest. */
static void move_up(struct ix_ledger_entry *entry, uint32_t sequence)
{
    if (sequence - entry->high >= IX_LEDGER_WINDOW)
        memset(entry->window, 0, sizeof(entry->window));
    else
        for (uint32_t s = entry->high; s != sequence; s++)
            entry->window[s % IX_LEDGER_WINDOW / 64] &= ~(1ull << (s % 64));
    entry->high = sequence + 1;
}

/* All sequences that left the window had arrived. */
static bool is_complete_below(const struct ix_ledger_entry *entry)
{
    uint32_t inside = 0;
    for (size_t i = 0; i < IX_LEDGER_WINDOW / 64; i++)
        inside += (uint32_t)__builtin_popcountll(entry->window[i]);
    return entry->delivered - inside == entry->high - IX_LEDGER_WINDOW;
}

static uint32_t broken_of(const struct ix_ledger_entry *entry)
{
    return entry->broken[0] | (uint32_t)entry->broken[1] << 8 | (uint32_t)entry->broken[2] << 16;
}

/* What is missing below the first arrival by another connection. */
static void note_connection(struct ix_ledger_entry *entry, uint32_t sequence, uint8_t connection)
{
    if (entry->connection == connection)
        return;
    entry->connection = connection;
    uint64_t broken = (uint64_t)broken_of(entry) + (sequence - entry->high);
    if (broken > 0xffffff)
        broken = 0xffffff;
    for (size_t i = 0; i < sizeof(entry->broken); i++)
        entry->broken[i] = (uint8_t)(broken >> (8 * i));
}

enum ix_arrival ix_ledger_arrive(struct ix_ledger_entry *entry, uint32_t sequence, uint8_t connection)
{
    if (sequence >= entry->high) {
        note_connection(entry, sequence, connection);
        move_up(entry, sequence);
        set_bit(entry, sequence);
        entry->delivered++;
        return IX_ARRIVED;
    }
    if (entry->high - sequence > IX_LEDGER_WINDOW && !is_complete_below(entry)) {
        entry->stale++;
        return IX_ARRIVED_STALE;
    }
    if (entry->high - sequence > IX_LEDGER_WINDOW || bit_is_set(entry, sequence)) {
        entry->duplicated++;
        return IX_ARRIVED_AGAIN;
    }
    set_bit(entry, sequence);
    entry->delivered++;
    entry->reordered++;
    return IX_ARRIVED_REORDERED;
}

struct ix_ledger_account ix_ledger_account_of(const struct ix_ledger *ledger, uint32_t slot)
{
    const struct ix_ledger_slot *out = &ledger->slots[slot];
    const struct ix_ledger_entry *in = &ledger->entries[slot];
    bool doubt_arrived = out->doubt && in->high > out->sent;
    uint64_t missing = ix_ledger_missing(in), cut = broken_of(in);
    cut = (cut < missing ? cut : missing) + (out->cut > in->high ? out->cut - in->high : 0);
    if (out->qos && out->unacked < UINT8_MAX && cut > out->unacked)
        cut = out->unacked; /* the broker had the others */
    return (struct ix_ledger_account){
        .sent = out->sent + doubt_arrived,
        .in_doubt = out->doubt && !doubt_arrived,
        .delivered = in->delivered,
        .duplicated = in->duplicated,
        .reordered = in->reordered,
        .late = in->late,
        .stale = in->stale,
        .never_sent = out->never_sent,
        .cut = cut,
    };
}
