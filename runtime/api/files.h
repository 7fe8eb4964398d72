/* The page's files, out of the binary: no path of a request ever reaches the file system. */
#ifndef IX_API_FILES_H
#define IX_API_FILES_H

#include "api/exchange.h"
#include "api/web_files.h"

/* Answers with the file, packed if the client takes that, or with 304 if it has it already. */
void ix_file_answer(struct ix_exchange *x, const struct ix_web_file *file);

/* Whether a list of ETags (If-None-Match) has this one; weak ones count, and "*" is every one. */
bool ix_etag_matches(const char *list, const char *etag);

#endif
