/* Runs conditions, without recursion. */
#include "model/expression_code.h"

#include <math.h>
#include <stdlib.h>

void ix_expression_free(struct ix_expression *e)
{
    if (!e)
        return;
    free(e->code);
    free(e->names);
    free(e->texts);
    free(e);
}

uint64_t ix_expression_uses(const struct ix_expression *e)
{
    return e->uses;
}

struct operand {
    const char *text; /* NULL: a number or truth value */
    size_t len;
    double number;
};

static bool load(const struct ix_value *value, struct operand *out)
{
    if (value->kind == IX_V_STRING) {
        *out = (struct operand){.text = value->text.data, .len = value->text.len};
        return true;
    }
    *out = (struct operand){0};
    if (value->kind == IX_V_JSON && value->text.len > 0 && strchr("tf", value->text.data[0])) {
        out->number = value->text.data[0] == 't';
        return true;
    }
    return ix_value_number(value, &out->number);
}

static bool texts_equal(const struct operand *a, const struct operand *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

/* a = a op b; false if the operation has no result. */
static bool compute(enum ix_op op, struct operand *a, const struct operand *b)
{
    double x = a->number, y = b->number;

    if (a->text && b->text && (op == IX_OP_EQUAL || op == IX_OP_NOT_EQUAL)) {
        *a = (struct operand){.number = texts_equal(a, b) == (op == IX_OP_EQUAL)};
        return true;
    }
    if (a->text || b->text || ((op == IX_OP_DIVIDE || op == IX_OP_MODULO) && y == 0))
        return false;
    switch (op) {
    case IX_OP_MULTIPLY:
        a->number = x * y;
        break;
    case IX_OP_DIVIDE:
        a->number = x / y;
        break;
    case IX_OP_MODULO:
        a->number = fmod(x, y);
        break;
    case IX_OP_ADD:
        a->number = x + y;
        break;
    case IX_OP_SUBTRACT:
        a->number = x - y;
        break;
    case IX_OP_LESS:
        a->number = x < y;
        break;
    case IX_OP_LESS_EQUAL:
        a->number = x <= y;
        break;
    case IX_OP_GREATER:
        a->number = x > y;
        break;
    case IX_OP_GREATER_EQUAL:
        a->number = x >= y;
        break;
    case IX_OP_EQUAL:
        a->number = x == y;
        break;
    default:
        a->number = x != y;
        break;
    }
    return true;
}

/* One instruction that is neither a jump nor binary. */
static bool step(const struct ix_expression *e, const struct ix_instruction *c, const struct ix_value *values,
                 struct operand *top)
{
    switch (c->op) {
    case IX_OP_TEXT:
        top[1] = (struct operand){.text = e->texts + c->place, .len = c->len};
        return true;
    case IX_OP_NAME:
        return load(&values[c->place], &top[1]);
    case IX_OP_NUMBER:
    case IX_OP_BOOLEAN:
        top[1] = (struct operand){.number = c->number};
        return true;
    case IX_OP_NEGATE:
        top->number = -top->number;
        return !top->text;
    case IX_OP_NOT:
        top->number = top->number == 0;
        return !top->text;
    default: /* IX_OP_TRUTH */
        top->number = top->number != 0;
        return !top->text;
    }
}

bool ix_expression_holds(const struct ix_expression *e, const struct ix_value *values)
{
    struct operand stack[IX_EXPRESSION_STACK_MAX + 2];
    struct operand *top = stack; /* stack[0] is never read */

    for (size_t i = 0; i < e->name_count; i++) {
        if (values[e->names[i]].kind == IX_V_NONE)
            return false;
    }
    for (size_t i = 0; i < e->count; i++) {
        const struct ix_instruction *c = &e->code[i];

        if (c->op == IX_OP_AND || c->op == IX_OP_OR) {
            if (top->text)
                return false;
            if ((top->number != 0) == (c->op == IX_OP_OR)) {
                top->number = top->number != 0;
                i = c->place - 1;
            } else {
                top--;
            }
        } else if (c->op >= IX_OP_MULTIPLY) {
            top--;
            if (!compute(c->op, top, top + 1))
                return false;
        } else {
            if (!step(e, c, values, top))
                return false;
            top += c->op <= IX_OP_NAME;
        }
    }
    return !top->text && top->number != 0 && !isnan(top->number);
}
