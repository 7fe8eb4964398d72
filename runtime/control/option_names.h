/* How the command that runs calls what messages advise to change: `run`, `plan` and `serve` have one set of options,
 * `bench` the words of MQTT bench tools. */
#ifndef IX_CONTROL_OPTION_NAMES_H
#define IX_CONTROL_OPTION_NAMES_H

struct ix_option_names {
    const char *broker, *bind, *connect_rate; /* "--broker", "--bind", "--connect-rate " */
    const char *per_second;                   /* behind the number of connect_rate: "/s" */
    const char *broker_list; /* how several brokers are written: "--broker HOST:PORT,HOST:PORT" */
};
extern const struct ix_option_names ix_option_names_run, ix_option_names_bench;

/* Those of this process; set once, before anything is run. */
extern const struct ix_option_names *ix_option_names;

#endif
