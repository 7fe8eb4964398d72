/* A worker process: one loop, one Lua state, its own devices (or, as an observer, its own subscriptions). It
 * does what its controller's records say and ends when the controller does. */
#ifndef IX_WORKER_WORKER_H
#define IX_WORKER_WORKER_H

/* Runs until the controller says so or goes away; the process's exit status. `arguments`: "--worker",
 * parent's pid. */
int ix_worker_main(int argc, char **argv);

#endif
