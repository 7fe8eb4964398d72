/* Parts of the HTML report. */
#ifndef IX_CONTROL_REPORT_HTML_H
#define IX_CONTROL_REPORT_HTML_H

#include "control/report.h"

extern const char ix_html_style[];

/* The plots over time, with the run's events and dropouts as marks. */
void ix_html_plots(const struct ix_result *result, struct ix_buf *out);
/* Connections, messages, times, groups, dropouts, metrics of scripts, events, the run itself. */
void ix_html_tables(const struct ix_result *result, struct ix_buf *out);
/* What observers saw of the messages; nothing without observers. */
void ix_html_delivery(const struct ix_result *result, struct ix_buf *out);

#endif
