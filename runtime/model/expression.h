/* Conditions of behaviours: "heartRate > 120 || heartRate < 50".
 *
 * Pratt parser over: numbers, "text" or 'text', true, false, names of telemetry attributes, ( ),
 * ! -(unary) * / % + - < <= > >= == != && ||, in C's precedence. Strings compare with == and != only.
 * No other name, call or assignment exists: nothing in a model can run as code. */
#ifndef IX_MODEL_EXPRESSION_H
#define IX_MODEL_EXPRESSION_H

#include "model/value.h"

struct ix_expression;

/* `names[i]` is attribute i. On error the message names the position: "condition, character 14: ...". */
struct ix_expression *ix_expression_compile(const char *text, const char *const *names, size_t name_count,
                                            struct ix_error *err);
void ix_expression_free(struct ix_expression *e);

/* Bit i is set if attribute i occurs (attributes beyond 63 set bit 63). */
uint64_t ix_expression_uses(const struct ix_expression *e);

/* values[i] is the last published value of attribute i, IX_V_NONE before the first: the condition is
 * then false, whatever its operators. A division by zero or a comparison of text with a number: false. */
bool ix_expression_holds(const struct ix_expression *e, const struct ix_value *values);

#endif
