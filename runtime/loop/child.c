#include "loop/child.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

struct ix_child {
    uv_process_t process;
    ix_child_exit *on_exit;
    void *context;
    bool exited;
    bool freed;
};

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_process_exit(uv_process_t *process, int64_t status, int signal_number)
{
    struct ix_child *child = process->data;
    child->exited = true;
    if (child->freed)
        uv_close((uv_handle_t *)process, on_closed);
    else if (child->on_exit)
        child->on_exit(child->context, status, signal_number);
}

/* Marks every descriptor above stderr as close-on-exec: also those that our own parent left us. */
static void close_others_on_exec(void)
{
    if (close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC) < 0)
        uv_disable_stdio_inheritance(); /* kernels before 5.11 */
}

int ix_child_spawn(struct ix_loop *loop, const struct ix_child_config *config, struct ix_child **result,
                   struct ix_error *err)
{
    const char *file = config->file ? config->file : "/proc/self/exe";
    int output = -1;
    if (config->output_path) {
        output = open(config->output_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (output < 0)
            return ix_fail(err, -errno, "can't write %s: %s", config->output_path, strerror(errno));
    }
    size_t count = 3 + config->fd_count;
    uv_stdio_container_t *stdio = ix_calloc(count, sizeof(*stdio));
    stdio[0].flags = UV_IGNORE; /* /dev/null: the terminal's input is ours */
    for (size_t i = 1; i < count; i++) {
        stdio[i].flags = UV_INHERIT_FD;
        stdio[i].data.fd = i >= 3 ? config->fds[i - 3] : output >= 0 ? output : (int)i;
    }
    struct ix_child *child = ix_calloc(1, sizeof(*child));
    child->process.data = child;
    child->on_exit = config->on_exit;
    child->context = config->context;
    uv_process_options_t options = {.file = file,
                                    .args = (char **)config->argv,
                                    .flags = UV_PROCESS_DETACHED,
                                    .exit_cb = on_process_exit,
                                    .stdio = stdio,
                                    .stdio_count = (int)count};
    close_others_on_exec();
    prctl(PR_SET_TIMERSLACK, 0); /* our precision of sleeping is not for them: a child inherits it */
    int rc = uv_spawn(&loop->uv, &child->process, &options);
    prctl(PR_SET_TIMERSLACK, IX_LOOP_SLACK_NS);
    free(stdio);
    if (output >= 0)
        close(output);
    if (rc < 0) {
        uv_close((uv_handle_t *)&child->process, on_closed);
        return ix_fail(err, rc, "can't start %s: %s", file, uv_strerror(rc));
    }
    *result = child;
    return 0;
}

int ix_child_pid(const struct ix_child *child)
{
    return child->process.pid;
}

int ix_child_kill(struct ix_child *child, int signal_number)
{
    return child->exited ? -ESRCH : uv_process_kill(&child->process, signal_number);
}

void ix_child_free(struct ix_child *child)
{
    if (!child || child->freed)
        return;
    child->freed = true;
    if (child->exited)
        uv_close((uv_handle_t *)&child->process, on_closed);
    else
        uv_process_kill(&child->process, SIGKILL); /* on_process_exit closes it */
}

void ix_child_die_with_parent(int parent_pid)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent_pid) /* it died before the line above */
        _exit(1);
}

uint64_t ix_raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    struct rlimit raised = {limit.rlim_max, limit.rlim_max};
    return setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;
}
