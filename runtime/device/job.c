/* Work over all devices of a group, in chunks: sockets are polled in between. */
#include "device/internal.h"

#include <stdlib.h>

static void job_free(struct ix_job *job)
{
    struct ix_engine *engine = job->group->engine;
    struct ix_job **link = &engine->jobs;
    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    ix_wheel_cancel(engine->loop->wheel, &job->wheel);
    if (job->schedule.close)
        job->schedule.close(job->schedule.context);
    if (job->dropout)
        ix_dropout_job_over(job);
    free(job);
    ix_engine_idle(engine);
}

static void job_fire(struct ix_wheel_entry *entry, uint64_t now_ns)
{
    struct ix_job *job = (struct ix_job *)entry;
    struct ix_engine *engine = job->group->engine;
    struct ix_error err = {0};
    bool done = false;
    int rc = job->step(job, &done, &err);
    if (rc < 0 && engine->config.record_failed)
        engine->config.record_failed(engine->config.context, job->group->id, &err);
    else if (rc < 0)
        ix_log(IX_LOG_ERROR, "group \"%s\": %s", job->group->id, err.text);
    if (rc < 0 || done)
        job_free(job);
    else
        ix_wheel_add(engine->loop->wheel, &job->wheel, now_ns);
}

struct ix_job *ix_job_new(struct ix_group *group, int (*step)(struct ix_job *, bool *, struct ix_error *))
{
    struct ix_job *job = ix_calloc(1, sizeof(*job));
    job->wheel.fire = job_fire;
    job->group = group;
    job->step = step;
    job->next = group->engine->jobs;
    group->engine->jobs = job;
    return job;
}

int ix_job_begin(struct ix_job *job, struct ix_error *err)
{
    bool done = false;
    int rc = job->step(job, &done, err);
    if (rc < 0 || done)
        job_free(job);
    else
        ix_wheel_add(job->group->engine->loop->wheel, &job->wheel, ix_engine_now(job->group->engine));
    return rc;
}

void ix_group_cancel_jobs(struct ix_group *group, int (*step)(struct ix_job *, bool *, struct ix_error *))
{
    struct ix_job *next;
    for (struct ix_job *job = group->engine->jobs; job; job = next) {
        next = job->next;
        if (job->group == group && (!step || job->step == step))
            job_free(job);
    }
}
