/* Child processes that never outlive us. */
#ifndef IX_LOOP_CHILD_H
#define IX_LOOP_CHILD_H

#include "loop/loop.h"

struct ix_child;

/* `status`: exit status, `signal`: the signal that ended it or 0. Called once, after the child was reaped. */
typedef void ix_child_exit(void *context, int64_t status, int signal);

struct ix_child_config {
    const char *file;  /* NULL: this binary (/proc/self/exe) */
    char *const *argv; /* NULL-terminated; argv[0] is shown in ps */
    const int *fds;    /* our descriptors that become 3, 4, … in the child; all others are closed */
    size_t fd_count;
    const char *output_path; /* stdout and stderr of the child are appended here; NULL: inherited. Its
                                stdin is /dev/null */
    ix_child_exit *on_exit;
    void *context;
};

/* In a session of its own: a Ctrl-C is for us alone, and we decide what it means for our children. */
int ix_child_spawn(struct ix_loop *loop, const struct ix_child_config *config, struct ix_child **child,
                   struct ix_error *err);
int ix_child_pid(const struct ix_child *child);
int ix_child_kill(struct ix_child *child, int signal);
/* After on_exit, or before it: then the child is killed (SIGKILL) and reaped in the background, without
 * on_exit. */
void ix_child_free(struct ix_child *child);

/* For the child itself, first thing in main: SIGKILL when the parent dies; exits at once if the parent
 * (`parent_pid`) is gone already. */
void ix_child_die_with_parent(int parent_pid);

/* Raises the soft descriptor limit to the hard one; returns the limit now in force. */
uint64_t ix_raise_descriptor_limit(void);

#endif
