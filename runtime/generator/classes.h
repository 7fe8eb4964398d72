/* The native generators. */
#ifndef IX_GENERATOR_CLASSES_H
#define IX_GENERATOR_CLASSES_H

#include "generator/generator.h"

extern const struct ix_generator_class ix_generator_random, ix_generator_sequence, ix_generator_constant,
    ix_generator_replay, ix_generator_stamp;

/* 10^n for n in 0..22: exact doubles. */
double ix_power_of_ten(int n);

#endif
