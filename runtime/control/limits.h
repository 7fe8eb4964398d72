/* What this host allows, against what a fleet needs. A shortage says what is needed, what there is, and gives the command
 * that lifts it. `run` asks before each launch, `plan` for a whole scenario. */
#ifndef IX_CONTROL_LIMITS_H
#define IX_CONTROL_LIMITS_H

#include "base/buf.h"
#include "base/error.h"

/* Open files of our processes: the controller beside two for each worker, a worker beside one for each device. */
#define IX_FILES_OF_CONTROLLER 14
#define IX_FILES_OF_WORKER     12

struct ix_limits_of_host {
    uint32_t cores;
    bool is_root;                        /* fs.file-max and the number of processes don't bind root */
    uint64_t files;                      /* a process may open: the hard limit */
    uint64_t files_most;                 /* up to which that can be raised: fs.nr_open */
    uint64_t all_files, all_files_open;  /* fs.file-max, and how many of these are open now */
    uint64_t processes;                  /* RLIMIT_NPROC */
    uint32_t ports, port_low, port_high; /* that outgoing connections of one address to one broker get */
    uint64_t memory;                     /* bytes available; UINT64_MAX: nobody says */
};

struct ix_demand {
    uint64_t devices;
    uint32_t workers;    /* that are wanted at least; as many more as descriptors demand */
    uint64_t clients;    /* connected at the same time, at most; 0: all devices */
    uint64_t broker_end; /* devices whose broker is on this host: their connections have both ends here */
    bool embedded;       /* one broker of our own takes all clients */
    uint64_t memory_iotix, memory_kernel, memory_broker; /* bytes */
    /* The fullest pair of source address and broker: how many connections, and how many such addresses take turns. */
    uint64_t port_connections, sources;
    bool loopback; /* that broker is on loopback, where more source addresses cost nothing */
    char broker[300];
    uint16_t broker_port;
    double connects_per_s, cpu_share; /* peak; of one core while publishing, both 0: not asked */
};

enum ix_shortage_kind {
    IX_SHORT_FILES,
    IX_SHORT_ALL_FILES,
    IX_SHORT_PROCESSES,
    IX_SHORT_PORTS,
    IX_SHORT_MEMORY,
    IX_SHORT_BROKER,
    IX_SHORT_PORT_SEARCH, /* enough ports, but the kernel looks long for a free one */
    IX_SHORT_CONNECTS,
    IX_SHORT_CPU,
    IX_SHORT_COUNT
};
extern const char *const ix_shortage_names[IX_SHORT_COUNT]; /* "descriptors", "memory" … */

struct ix_shortage {
    enum ix_shortage_kind kind;
    bool hard;  /* it does not fit; else it will be slow, or late */
    char *text; /* what is needed and what there is */
    char *cure; /* a command, an option of iotix, or what else to do */
};

void ix_limits_read(struct ix_limits_of_host *host);
/* Workers for so many devices. 0: descriptors don't allow it. */
uint64_t ix_limits_workers(const struct ix_limits_of_host *host, uint64_t devices, uint32_t at_least);
/* All shortages, hard ones first; the caller frees them with ix_shortages_free. */
size_t ix_limits_check(const struct ix_limits_of_host *host, const struct ix_demand *demand,
                       struct ix_shortage out[IX_SHORT_COUNT]);
void ix_shortages_free(struct ix_shortage *shortages, size_t count);
/* Only those that don't keep devices from starting, but will be felt: of the embedded broker, and of the host's
 * descriptors under root. */
size_t ix_limits_felt(const struct ix_limits_of_host *host, const struct ix_demand *demand,
                      struct ix_shortage out[IX_SHORT_COUNT]);
/* Logs them. Each once: *warned has a bit for each kind. */
void ix_limits_warn(const struct ix_limits_of_host *host, const struct ix_demand *demand, unsigned *warned);
/* Logs a shortage of ports, if there is one: connections will fail. */
void ix_limits_warn_of_ports(const struct ix_demand *demand);
/* 0, or the error of the first shortage that keeps devices from starting: -EMFILE or -ENOMEM. */
int ix_limits_require(const struct ix_limits_of_host *host, const struct ix_demand *demand,
                      struct ix_error *err);

#endif
