/* Where iotix keeps what outlives a process: the journals of runs (runs/ID/) and the services' database.
 *
 * `--data-dir`, else $XDG_STATE_HOME/iotix, else ~/.local/state/iotix. Only its owner may enter it (0700). */
#ifndef IX_CONTROL_DATA_DIR_H
#define IX_CONTROL_DATA_DIR_H

#include "base/error.h"

/* The path alone, without looking whether it exists; `option` may be NULL. Relative texts stay relative. An
 * XDG_STATE_HOME that is not absolute is ignored, as its specification says. -ENOENT if there is no option and
 * the environment names no place either. The caller frees *path. */
int ix_data_dir_path(const char *option, char **path, struct ix_error *err);

/* The path, made if it is missing (with its parents, mode 0700); an existing folder keeps its mode. A negative
 * errno with what is wrong and what to do if it can't be made, is no folder or can't be written to. The caller
 * frees *path. */
int ix_data_dir_open(const char *option, char **path, struct ix_error *err);

/* A folder inside it, made if it is missing (mode 0700): "runs". The caller frees *path. */
int ix_data_dir_sub(const char *data_dir, const char *name, char **path, struct ix_error *err);

#endif
