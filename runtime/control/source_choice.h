/* From which addresses devices connect. One source address has only so many ports for each broker; on loopback every
 * address of 127.0.0.0/8 is ours, so that a large fleet can be given as many as it needs. */
#ifndef IX_CONTROL_SOURCE_CHOICE_H
#define IX_CONTROL_SOURCE_CHOICE_H

#include "protocol/source.h"
#include "protocol/target.h"

struct ix_source_choice {
    struct ix_sources given; /* by --bind */
    bool is_auto;            /* chosen by need, for brokers on loopback */
    uint64_t ports_shared;   /* connections to each broker from the address that the kernel chooses */
    uint32_t next_loopback;  /* first address after those chosen so far, counted from 127.0.0.1 */
};

/* Reads --bind: "ADDR[-ADDR][,…]", "auto" or "none"; NULL: auto. */
int ix_source_choice_init(struct ix_source_choice *choice, const char *wish, struct ix_error *err);
void ix_source_choice_deinit(struct ix_source_choice *choice);
/* The source addresses of a group of `count` devices; the caller deinits *sources. */
int ix_source_choice_of(struct ix_source_choice *choice, const struct ix_target *targets, size_t target_count,
                        uint64_t count, struct ix_sources *sources, struct ix_error *err);

#endif
