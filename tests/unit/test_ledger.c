/* The delivery ledger: the window of arrivals against a plain list, marks, slots. */
#include "base/random.h"
#include "metrics/ledger.h"
#include "metrics/mark.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#define KEY     "\"seq\":\""
#define KEY_LEN (sizeof(KEY) - 1)

/* ---- arrivals ---- */

#define SEQUENCES 20000

/* What the window should say, from all that ever arrived. */
struct reference {
    bool arrived[SEQUENCES];
    uint32_t high, delivered, duplicated, reordered, stale;
};

static enum ix_arrival refer(struct reference *r, uint32_t sequence)
{
    bool complete = true; /* all below the window arrived */
    for (uint32_t s = 0; s + IX_LEDGER_WINDOW < r->high; s++)
        complete = complete && r->arrived[s];
    if (sequence + IX_LEDGER_WINDOW < r->high && !complete) {
        r->stale++;
        return IX_ARRIVED_STALE;
    }
    if (r->arrived[sequence]) {
        r->duplicated++;
        return IX_ARRIVED_AGAIN;
    }
    r->arrived[sequence] = true;
    r->delivered++;
    if (sequence >= r->high) {
        r->high = sequence + 1;
        return IX_ARRIVED;
    }
    r->reordered++;
    return IX_ARRIVED_REORDERED;
}

static void compare(const struct ix_ledger_entry *entry, const struct reference *r)
{
    assert_int_equal(entry->high, r->high);
    assert_int_equal(entry->delivered, r->delivered);
    assert_int_equal(entry->duplicated, r->duplicated);
    assert_int_equal(entry->reordered, r->reordered);
    assert_int_equal(entry->stale, r->stale);
    assert_int_equal(ix_ledger_missing(entry), r->high - r->delivered);
}

/* A stream of messages of which some are lost, doubled, and moved back by up to `reach` places. */
static void run_stream(uint64_t seed, uint32_t count, uint32_t reach, double loss, double doubling)
{
    struct ix_ledger_entry entry = {0};
    struct reference *r = calloc(1, sizeof(*r));
    uint64_t key = ix_random_key(seed, 1), draw = 0;
    uint32_t *queue = calloc(2 * count, sizeof(*queue)), queued = 0;
    for (uint32_t s = 0; s < count; s++) {
        if (ix_random_unit(ix_random_u64(key, draw++)) < loss)
            continue;
        queue[queued++] = s;
        if (ix_random_unit(ix_random_u64(key, draw++)) < doubling)
            queue[queued++] = s;
    }
    for (uint32_t i = 0; i < queued && reach; i++) {
        uint32_t far = (uint32_t)ix_random_below(ix_random_u64(key, draw++), reach);
        uint32_t other = i + far < queued ? i + far : i, kept = queue[i];
        queue[i] = queue[other];
        queue[other] = kept;
    }
    for (uint32_t i = 0; i < queued; i++)
        assert_int_equal(ix_ledger_arrive(&entry, queue[i], 0), refer(r, queue[i]));
    compare(&entry, r);
    free(queue);
    free(r);
}

static void test_arrivals_of_random_streams(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        run_stream(seed, 2000, 0, 0, 0);
        run_stream(seed, 2000, 1 + seed, 0.01, 0.05);
        run_stream(seed, 2000, 200, 0.3, 0.3);
        run_stream(seed, 3000, 1500, 0.0, 0.2); /* beyond the window */
        run_stream(seed, 3000, 1500, 0.1, 0.2);
    }
}

static void test_arrivals_at_the_edges_of_the_window(void **state)
{
    (void)state;
    struct ix_ledger_entry entry = {0};
    assert_int_equal(ix_ledger_arrive(&entry, IX_LEDGER_WINDOW, 0), IX_ARRIVED);
    assert_int_equal(ix_ledger_missing(&entry), IX_LEDGER_WINDOW);
    assert_int_equal(ix_ledger_arrive(&entry, 1, 0), IX_ARRIVED_REORDERED); /* the lowest that is known */
    assert_int_equal(ix_ledger_arrive(&entry, 1, 0), IX_ARRIVED_AGAIN);
    assert_int_equal(ix_ledger_arrive(&entry, 0, 0), IX_ARRIVED_STALE);
    assert_int_equal(ix_ledger_arrive(&entry, 100000, 0), IX_ARRIVED); /* over everything */
    assert_int_equal(ix_ledger_arrive(&entry, 99999, 0), IX_ARRIVED_REORDERED);
    assert_int_equal(ix_ledger_arrive(&entry, IX_LEDGER_WINDOW, 0), IX_ARRIVED_STALE);
    assert_int_equal(entry.delivered, 4);
    assert_int_equal(ix_ledger_missing(&entry), 100001 - 4);
}

/* Nothing was lost: whatever comes from below the window came before. */
static void test_old_repetitions_of_a_complete_stream_are_known(void **state)
{
    (void)state;
    struct ix_ledger_entry entry = {0};
    for (uint32_t s = 0; s < 5000; s++)
        assert_int_equal(ix_ledger_arrive(&entry, s, 0), IX_ARRIVED);
    assert_int_equal(ix_ledger_arrive(&entry, 3, 0), IX_ARRIVED_AGAIN);
    assert_int_equal(entry.stale, 0);
}

/* ---- marks ---- */

static const struct ix_mark example = {.run = 0xdeadbeef,
                                       .slot = 8388607,
                                       .sequence = 4000000000u,
                                       .sent_us = 0xfedcba987654ull,
                                       .late_us = 70000};

static struct ix_buf marked(const char *payload, size_t len)
{
    struct ix_buf out;
    ix_buf_init(&out, 1 << 20);
    ix_mark_insert(&out, payload, len, KEY, KEY_LEN, &example);
    return out;
}

static enum ix_mark_state state_of(const char *payload, size_t len, struct ix_mark *mark)
{
    return ix_mark_read(payload, len, NULL, KEY, KEY_LEN, example.run, mark);
}

static void assert_same(const struct ix_mark *mark)
{
    assert_int_equal(mark->run, example.run);
    assert_int_equal(mark->slot, example.slot);
    assert_int_equal(mark->sequence, example.sequence);
    assert_int_equal(mark->sent_us, example.sent_us);
    assert_int_equal(mark->late_us, example.late_us);
}

static void test_a_mark_in_a_json_object(void **state)
{
    (void)state;
    static const char *const payloads[] = {"{}", "{\"a\":1}", "{\"deviceId\":\"x\",\"seq\":\"17\"}"};
    for (size_t i = 0; i < 3; i++) {
        struct ix_mark mark;
        assert_true(ix_mark_fits(payloads[i], strlen(payloads[i])));
        struct ix_buf out = marked(payloads[i], strlen(payloads[i]));
        assert_int_equal(state_of(out.data, out.len, &mark), IX_MARK_GOOD);
        assert_same(&mark);
        assert_memory_equal(out.data, payloads[i], strlen(payloads[i]) - 1);
        assert_string_equal(out.data + out.len - 2, "\"}");
        ix_buf_deinit(&out);
    }
    assert_false(ix_mark_fits("[1]", 3));
    assert_false(ix_mark_fits("{\"a\":1}\n", 8));
    assert_false(ix_mark_fits("", 0));
}

/* Each single bit of a message. */
static void test_every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    struct ix_mark mark;
    struct ix_buf out = marked("{\"deviceId\":\"d-1\",\"temperature\":20.5}", 37);
    size_t field = out.len - IX_MARK_LEN - 2 - KEY_LEN, noticed = 0;
    for (size_t bit = 0; bit < out.len * 8; bit++) {
        out.data[bit / 8] ^= (char)(1 << bit % 8);
        enum ix_mark_state now = state_of(out.data, out.len, &mark);
        assert_int_not_equal(now, IX_MARK_GOOD);
        noticed += now == IX_MARK_CORRUPT;
        out.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(noticed >= field * 8); /* at least those of the payload before the field */
    for (size_t len = field + KEY_LEN + 4; len < out.len; len++)
        assert_int_equal(state_of(out.data, len, &mark), IX_MARK_CORRUPT); /* cut off */
    ix_buf_deinit(&out);
}

static void test_foreign_payloads_have_no_mark(void **state)
{
    (void)state;
    struct ix_mark mark;
    static const char *const payloads[] = {"",
                                           "x",
                                           "{}",
                                           "{\"seq\":\"17\"}",
                                           "{\"seq\":\"of someone else, and rather long, too\"}",
                                           "{\"seq\":17}",
                                           "\"}"};
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(state_of(payloads[i], strlen(payloads[i]), &mark), IX_MARK_NONE);
    assert_int_equal(ix_mark_read("x", 1, "17", KEY, KEY_LEN, 1, &mark), IX_MARK_NONE);
}

static void test_a_mark_beside_the_payload(void **state)
{
    (void)state;
    char text[IX_MARK_LEN + 1] = {0};
    struct ix_mark mark;
    ix_mark_put(text, &example, "\0\1\2", 3);
    assert_int_equal(ix_mark_read("\0\1\2", 3, text, KEY, KEY_LEN, example.run, &mark), IX_MARK_GOOD);
    assert_same(&mark);
    assert_int_equal(ix_mark_read("\0\1\3", 3, text, KEY, KEY_LEN, example.run, &mark), IX_MARK_CORRUPT);
}

static void test_a_mark_at_the_end_of_a_stamp(void **state)
{
    (void)state;
    char stamp[128];
    memset(stamp, 'a', sizeof(stamp));
    memcpy(stamp, "ixS1", 4);
    struct ix_mark mark;
    assert_int_equal(state_of(stamp, sizeof(stamp), &mark), IX_MARK_NONE);
    assert_false(ix_mark_fits(stamp, IX_MARK_STAMP_MIN - 1));
    struct ix_buf out = marked(stamp, sizeof(stamp));
    assert_int_equal(out.len, sizeof(stamp));
    assert_int_equal(state_of(out.data, out.len, &mark), IX_MARK_GOOD);
    assert_same(&mark);
    out.data[30] ^= 1;
    assert_int_equal(state_of(out.data, out.len, &mark), IX_MARK_CORRUPT);
    ix_buf_deinit(&out);
}

/* ---- slots ---- */

static struct ix_ledger *new_ledger(void)
{
    struct ix_error err;
    int fd = ix_ledger_create(7, &err);
    assert_true(fd >= 0);
    struct ix_ledger *ledger = ix_ledger_map(fd, true, &err);
    assert_non_null(ledger);
    close(fd);
    return ledger;
}

static void test_slots_are_taken_once(void **state)
{
    (void)state;
    struct ix_ledger *ledger = new_ledger();
    struct ix_ledger_taker one = {0}, other = {0};
    uint32_t first, second, large;
    assert_true(ix_ledger_take(ledger, &one, 3, &first));
    assert_true(ix_ledger_take(ledger, &other, 3, &second));
    assert_int_equal(second - first, IX_LEDGER_CHUNK);
    assert_true(ix_ledger_take(ledger, &one, 3, &second));
    assert_int_equal(second, first + 3);
    assert_true(ix_ledger_take(ledger, &one, IX_LEDGER_CHUNK + 1, &large)); /* neighbours, over two chunks */
    assert_int_equal(large, 2 * IX_LEDGER_CHUNK);
    assert_int_equal(ix_ledger_used(ledger), 4 * IX_LEDGER_CHUNK);
    ledger->chunks = IX_LEDGER_SLOTS / IX_LEDGER_CHUNK;
    assert_false(ix_ledger_take(ledger, &other, IX_LEDGER_CHUNK, &large));
    assert_int_equal(ix_ledger_used(ledger), IX_LEDGER_SLOTS);
    ix_ledger_unmap(ledger);
}

static void test_groups_have_places(void **state)
{
    (void)state;
    struct ix_ledger *ledger = new_ledger();
    assert_int_equal(ix_ledger_group(ledger, "a", false), 0);
    assert_int_equal(ix_ledger_group(ledger, "a", true), 1);
    assert_int_equal(ix_ledger_group(ledger, "b", true), 2);
    assert_int_equal(ix_ledger_group(ledger, "a", true), 1);
    assert_int_equal(ix_ledger_group(ledger, "b", false), 2);
    assert_int_equal(ix_ledger_group(ledger, "", true), 0);
    ix_ledger_unmap(ledger);
}

/* The last message of a publisher that died: sent if it arrived, else in doubt. */
static void test_the_message_of_a_dead_publisher(void **state)
{
    (void)state;
    struct ix_ledger *ledger = new_ledger();
    ledger->slots[0] = (struct ix_ledger_slot){.group = 1, .sent = 2, .doubt = 1};
    ix_ledger_arrive(&ledger->entries[0], 0, 0);
    ix_ledger_arrive(&ledger->entries[0], 1, 0);
    struct ix_ledger_account a = ix_ledger_account_of(ledger, 0);
    assert_int_equal(a.sent, 2);
    assert_int_equal(a.in_doubt, 1);
    assert_int_equal(a.delivered, 2);
    ix_ledger_arrive(&ledger->entries[0], 2, 0);
    a = ix_ledger_account_of(ledger, 0);
    assert_int_equal(a.sent, 3);
    assert_int_equal(a.in_doubt, 0);
    assert_int_equal(a.delivered, 3);
    ix_ledger_unmap(ledger);
}

/* What is missing before the first arrival by another connection, and behind the last one of a connection that broke. */
static void test_what_went_with_a_connection(void **state)
{
    (void)state;
    struct ix_ledger *ledger = new_ledger();
    struct ix_ledger_slot *slot = &ledger->slots[0];
    struct ix_ledger_entry *entry = &ledger->entries[0];
    *slot = (struct ix_ledger_slot){.group = 1};
    ix_ledger_cut(slot, 0); /* nothing went by it */
    assert_int_equal(slot->connection, 0);
    slot->sent = 10;
    ix_ledger_arrive(entry, 0, slot->connection);
    ix_ledger_arrive(entry, 3, slot->connection); /* 1 and 2: lost while the connection lasted */
    assert_int_equal(ix_ledger_account_of(ledger, 0).cut, 0);
    ix_ledger_cut(slot, 0);
    assert_int_equal(ix_ledger_account_of(ledger, 0).cut, 6); /* 4 … 9 */
    slot->sent = 20;
    ix_ledger_arrive(entry, 11, slot->connection); /* 4 … 10: before the first one by another connection */
    assert_int_equal(ix_ledger_account_of(ledger, 0).cut, 7);
    ix_ledger_arrive(entry, 19, slot->connection);
    assert_int_equal(ix_ledger_account_of(ledger, 0).cut, 7);
    ix_ledger_cut(slot, 0);
    assert_int_equal(ix_ledger_account_of(ledger, 0).cut, 7);
    for (uint32_t s = 12; s < 19; s++)
        ix_ledger_arrive(entry, s, 1);
    for (uint32_t s = 1; s < 8; s++)
        ix_ledger_arrive(entry, s, 0); /* never more than are missing */
    assert_int_equal(ix_ledger_account_of(ledger, 0).cut, 3);

    *slot = (struct ix_ledger_slot){.group = 1, .qos = 1, .sent = 10};
    *entry = (struct ix_ledger_entry){0};
    ix_ledger_cut(slot, 0); /* the broker had all of it */
    assert_int_equal(ix_ledger_account_of(ledger, 0).cut, 0);
    ix_ledger_cut(slot, 4);
    assert_int_equal(ix_ledger_account_of(ledger, 0).cut, 4);
    ix_ledger_unmap(ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrivals_of_random_streams),
        cmocka_unit_test(test_arrivals_at_the_edges_of_the_window),
        cmocka_unit_test(test_old_repetitions_of_a_complete_stream_are_known),
        cmocka_unit_test(test_a_mark_in_a_json_object),
        cmocka_unit_test(test_every_flipped_bit_is_noticed),
        cmocka_unit_test(test_foreign_payloads_have_no_mark),
        cmocka_unit_test(test_a_mark_beside_the_payload),
        cmocka_unit_test(test_a_mark_at_the_end_of_a_stamp),
        cmocka_unit_test(test_slots_are_taken_once),
        cmocka_unit_test(test_groups_have_places),
        cmocka_unit_test(test_what_went_with_a_connection),
        cmocka_unit_test(test_the_message_of_a_dead_publisher),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
