#include "control/option_names.h"

const struct ix_option_names ix_option_names_run = {.broker = "--broker",
                                                    .bind = "--bind",
                                                    .connect_rate = "--connect-rate ",
                                                    .per_second = "/s",
                                                    .broker_list = "--broker HOST:PORT,HOST:PORT"};
const struct ix_option_names ix_option_names_bench = {.broker = "-h",
                                                      .bind = "--ifaddr",
                                                      .connect_rate = "-R ",
                                                      .per_second = "",
                                                      .broker_list = "-h HOST:PORT,HOST:PORT"};

const struct ix_option_names *ix_option_names = &ix_option_names_run;
