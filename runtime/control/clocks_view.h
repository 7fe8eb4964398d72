/* Clocks of other hosts whose messages were received: how far they are from ours, and how well that is known. */
#ifndef IX_CONTROL_CLOCKS_VIEW_H
#define IX_CONTROL_CLOCKS_VIEW_H

#include "control/summary_page.h"
#include "control/workers.h"

/* The array "clocks" of result.schema.json; empty where all messages were of this host. */
json_t *ix_clocks_of(const struct ix_workers *workers);
/* One of them as a sentence. */
void ix_clock_put_text(struct ix_buf *out, const json_t *clock);
/* All of them, below the times. */
void ix_page_clocks(struct ix_page *page, const json_t *clocks);

#endif
