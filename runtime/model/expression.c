/* Conditions: a Pratt parser that emits code for a small stack machine. Parsing recurses at most DEPTH_MAX
 * deep and running does not recurse, so that no condition can exhaust the stack. */
#include "model/expression.h"

#include "base/suggest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX  4096
#define DEPTH_MAX 64
#define STACK_MAX 256

enum op {
    OP_NUMBER,
    OP_TEXT,
    OP_BOOLEAN,
    OP_NAME,
    OP_NEGATE,
    OP_NOT,
    OP_TRUTH,
    OP_MULTIPLY,
    OP_DIVIDE,
    OP_MODULO,
    OP_ADD,
    OP_SUBTRACT,
    OP_LESS,
    OP_LESS_EQUAL,
    OP_GREATER,
    OP_GREATER_EQUAL,
    OP_EQUAL,
    OP_NOT_EQUAL,
    OP_AND, /* jumps to `place` and keeps the operand if it is false, else drops it */
    OP_OR,
};

struct code {
    enum op op;
    size_t place; /* attribute, offset in texts, or jump target */
    size_t len;
    double number;
};

struct ix_expression {
    struct code *code;
    size_t count;
    size_t *names; /* attributes that occur, each once */
    size_t name_count;
    char *texts;
    uint64_t uses;
};

enum token_kind { T_END, T_NUMBER, T_TEXT, T_NAME, T_OPERATOR, T_BAD };

struct token {
    enum token_kind kind;
    const char *at;
    size_t len; /* T_TEXT: without quotes, at = first character; T_NAME: the name only */
    double number;
    char op[3];
};

struct parser {
    const char *text;
    const char *at;
    struct token token;
    const char *const *names;
    size_t name_count;
    struct ix_expression *e;
    size_t code_cap;
    size_t stack;
    struct ix_error *err;
    bool failed;
};

static void fail(struct parser *p, const char *at, const char *format, ...) IX_PRINTF(3, 4);
static void fail(struct parser *p, const char *at, const char *format, ...)
{
    char message[1024];
    va_list args;

    if (p->failed)
        return;
    p->failed = true;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    ix_fail(p->err, -EINVAL, "condition, character %zu: %s", (size_t)(at - p->text) + 1, message);
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void next_number(struct parser *p)
{
    const char *end = p->at;
    char copy[64];

    while (is_digit(*end) || *end == '.')
        end++;
    if ((*end == 'e' || *end == 'E') &&
        (is_digit(end[1]) || ((end[1] == '+' || end[1] == '-') && is_digit(end[2])))) {
        end += 2;
        while (is_digit(*end))
            end++;
    }
    p->token = (struct token){.kind = T_NUMBER, .at = p->at, .len = (size_t)(end - p->at)};
    snprintf(copy, sizeof(copy), "%s%.*s", *p->at == '.' ? "0" : "", (int)p->token.len, p->at);
    if (p->token.len > 60 || !ix_value_parse_number(copy, strlen(copy), &p->token.number)) {
        fail(p, p->at, "\"%.*s\" is not a number", (int)p->token.len, p->at);
        p->token.kind = T_BAD;
    }
    p->at = end;
}

static void next_quoted(struct parser *p)
{
    const char *end = strchr(p->at + 1, *p->at);

    if (!end) {
        fail(p, p->at, "the text has no closing %c", *p->at);
        p->token.kind = T_BAD;
        return;
    }
    p->token = (struct token){.kind = T_TEXT, .at = p->at + 1, .len = (size_t)(end - p->at - 1)};
    p->at = end + 1;
}

/* ${name}: for attributes whose names are not words. */
static void next_braced(struct parser *p)
{
    const char *end = strchr(p->at, '}');

    if (!end) {
        fail(p, p->at, "${ has no closing brace");
        p->token.kind = T_BAD;
        return;
    }
    p->token = (struct token){.kind = T_NAME, .at = p->at + 2, .len = (size_t)(end - p->at - 2)};
    p->at = end + 1;
}

static void next(struct parser *p)
{
    static const char *const operators[] = {"&&", "||", "<=", ">=", "==", "!=", "<", ">",
                                            "+",  "-",  "*",  "/",  "%",  "!",  "(", ")"};

    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')
        p->at++;
    p->token = (struct token){.kind = T_END, .at = p->at};
    if (*p->at == '\0')
        return;
    if (is_digit(*p->at) || (*p->at == '.' && is_digit(p->at[1]))) {
        next_number(p);
        return;
    }
    if (*p->at == '"' || *p->at == '\'') {
        next_quoted(p);
        return;
    }
    if (p->at[0] == '$' && p->at[1] == '{') {
        next_braced(p);
        return;
    }
    if (is_name_start(*p->at)) {
        const char *end = p->at;

        while (is_name_start(*end) || is_digit(*end) || *end == '.')
            end++;
        p->token = (struct token){.kind = T_NAME, .at = p->at, .len = (size_t)(end - p->at)};
        p->at = end;
        return;
    }
    for (size_t i = 0; i < IX_ARRAY_LEN(operators); i++) {
        size_t len = strlen(operators[i]);

        if (strncmp(p->at, operators[i], len) == 0) {
            p->token = (struct token){.kind = T_OPERATOR, .at = p->at, .len = len};
            memcpy(p->token.op, operators[i], len + 1);
            p->at += len;
            return;
        }
    }
    p->token.kind = T_BAD;
    if (*p->at == '=')
        fail(p, p->at, "write == to compare");
    else
        fail(p, p->at, "\"%c\" has no meaning here", *p->at);
}

static size_t emit(struct parser *p, struct code code, int stack)
{
    struct ix_expression *e = p->e;

    if (e->count == p->code_cap) {
        p->code_cap = p->code_cap ? 2 * p->code_cap : 16;
        e->code = ix_realloc(e->code, p->code_cap * sizeof(e->code[0]));
    }
    p->stack = (size_t)((long)p->stack + stack);
    if (p->stack > STACK_MAX)
        fail(p, p->token.at, "the condition is nested too deeply");
    e->code[e->count] = code;
    return e->count++;
}

static bool is_operator(const struct parser *p, const char *op)
{
    return p->token.kind == T_OPERATOR && strcmp(p->token.op, op) == 0;
}

static void use_name(struct parser *p, size_t place)
{
    struct ix_expression *e = p->e;

    e->uses |= 1ull << (place < 63 ? place : 63);
    for (size_t i = 0; i < e->name_count; i++) {
        if (e->names[i] == place)
            return;
    }
    e->names = ix_realloc(e->names, (e->name_count + 1) * sizeof(e->names[0]));
    e->names[e->name_count++] = place;
}

static void parse_name(struct parser *p)
{
    char name[128], hint[512];

    snprintf(name, sizeof(name), "%.*s", (int)p->token.len, p->token.at);
    if (strcmp(name, "true") == 0 || strcmp(name, "false") == 0) {
        emit(p, (struct code){.op = OP_BOOLEAN, .number = name[0] == 't'}, 1);
        return;
    }
    for (size_t i = 0; i < p->name_count; i++) {
        if (strlen(p->names[i]) == p->token.len && memcmp(p->names[i], p->token.at, p->token.len) == 0) {
            use_name(p, i);
            emit(p, (struct code){.op = OP_NAME, .place = i}, 1);
            return;
        }
    }
    if (p->name_count == 0)
        snprintf(hint, sizeof(hint), "; the model has no telemetry");
    else
        ix_suggest_put(hint, sizeof(hint), name, p->names, p->name_count);
    fail(p, p->token.at, "no telemetry attribute is called \"%s\"%s", name, hint);
}

static void parse(struct parser *p, int power, int depth);

enum { POWER_OR = 1, POWER_AND, POWER_EQUAL, POWER_ORDER, POWER_ADD, POWER_MULTIPLY, POWER_UNARY };

static void parse_operand(struct parser *p, int depth)
{
    struct token token = p->token;

    if (token.kind == T_NUMBER) {
        emit(p, (struct code){.op = OP_NUMBER, .number = token.number}, 1);
    } else if (token.kind == T_TEXT) {
        emit(p, (struct code){.op = OP_TEXT, .place = (size_t)(token.at - p->text), .len = token.len}, 1);
    } else if (token.kind == T_NAME) {
        parse_name(p);
    } else if (is_operator(p, "-") || is_operator(p, "!")) {
        next(p);
        parse(p, POWER_UNARY, depth + 1);
        emit(p, (struct code){.op = token.op[0] == '-' ? OP_NEGATE : OP_NOT}, 0);
        return;
    } else if (is_operator(p, "(")) {
        next(p);
        parse(p, 0, depth + 1);
        if (!is_operator(p, ")"))
            fail(p, p->token.at, "a closing parenthesis is missing");
    } else if (token.kind == T_END) {
        fail(p, token.at, "a value is missing at the end");
    } else {
        fail(p, token.at, "a value was expected before \"%.*s\"", (int)token.len, token.at);
    }
    if (!p->failed)
        next(p);
}

static const struct {
    const char *text;
    int power;
    enum op op;
} binary[] = {
    {"||", POWER_OR, OP_OR},
    {"&&", POWER_AND, OP_AND},
    {"==", POWER_EQUAL, OP_EQUAL},
    {"!=", POWER_EQUAL, OP_NOT_EQUAL},
    {"<", POWER_ORDER, OP_LESS},
    {"<=", POWER_ORDER, OP_LESS_EQUAL},
    {">", POWER_ORDER, OP_GREATER},
    {">=", POWER_ORDER, OP_GREATER_EQUAL},
    {"+", POWER_ADD, OP_ADD},
    {"-", POWER_ADD, OP_SUBTRACT},
    {"*", POWER_MULTIPLY, OP_MULTIPLY},
    {"/", POWER_MULTIPLY, OP_DIVIDE},
    {"%", POWER_MULTIPLY, OP_MODULO},
};

/* What comes now binds tighter than `power`. */
static void parse(struct parser *p, int power, int depth)
{
    if (depth > DEPTH_MAX) {
        fail(p, p->token.at, "the condition is nested too deeply");
        return;
    }
    parse_operand(p, depth);
    while (!p->failed && p->token.kind == T_OPERATOR && !is_operator(p, ")")) {
        size_t i = 0;

        while (i < IX_ARRAY_LEN(binary) && strcmp(binary[i].text, p->token.op) != 0)
            i++;
        if (i == IX_ARRAY_LEN(binary)) {
            fail(p, p->token.at, "an operator was expected before \"%s\"", p->token.op);
            return;
        }
        if (binary[i].power <= power)
            return;
        next(p);
        if (binary[i].op == OP_AND || binary[i].op == OP_OR) {
            size_t jump = emit(p, (struct code){.op = binary[i].op}, -1);

            parse(p, binary[i].power, depth + 1);
            emit(p, (struct code){.op = OP_TRUTH}, 0);
            p->e->code[jump].place = p->e->count;
        } else {
            parse(p, binary[i].power, depth + 1);
            emit(p, (struct code){.op = binary[i].op}, -1);
        }
    }
    if (!p->failed && p->token.kind != T_END && p->token.kind != T_OPERATOR)
        fail(p, p->token.at, "an operator was expected before \"%.*s\"", (int)p->token.len, p->token.at);
}

struct ix_expression *ix_expression_compile(const char *text, const char *const *names, size_t name_count,
                                            struct ix_error *err)
{
    struct parser p = {.text = text, .at = text, .names = names, .name_count = name_count, .err = err};

    if (strlen(text) > TEXT_MAX) {
        ix_fail(err, -EINVAL, "the condition is longer than %d characters", TEXT_MAX);
        return NULL;
    }
    p.e = ix_calloc(1, sizeof(*p.e));
    p.e->texts = ix_strdup(text);
    next(&p);
    if (!p.failed)
        parse(&p, 0, 0);
    if (!p.failed && p.token.kind != T_END)
        fail(&p, p.token.at, "a parenthesis closes that was not opened");
    if (!p.failed)
        return p.e;
    ix_expression_free(p.e);
    return NULL;
}

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
static bool compute(enum op op, struct operand *a, const struct operand *b)
{
    double x = a->number, y = b->number;

    if (a->text && b->text && (op == OP_EQUAL || op == OP_NOT_EQUAL)) {
        *a = (struct operand){.number = texts_equal(a, b) == (op == OP_EQUAL)};
        return true;
    }
    if (a->text || b->text || ((op == OP_DIVIDE || op == OP_MODULO) && y == 0))
        return false;
    switch (op) {
    case OP_MULTIPLY:
        a->number = x * y;
        break;
    case OP_DIVIDE:
        a->number = x / y;
        break;
    case OP_MODULO:
        a->number = fmod(x, y);
        break;
    case OP_ADD:
        a->number = x + y;
        break;
    case OP_SUBTRACT:
        a->number = x - y;
        break;
    case OP_LESS:
        a->number = x < y;
        break;
    case OP_LESS_EQUAL:
        a->number = x <= y;
        break;
    case OP_GREATER:
        a->number = x > y;
        break;
    case OP_GREATER_EQUAL:
        a->number = x >= y;
        break;
    case OP_EQUAL:
        a->number = x == y;
        break;
    default:
        a->number = x != y;
        break;
    }
    return true;
}

/* One instruction that is neither a jump nor binary. */
static bool step(const struct ix_expression *e, const struct code *c, const struct ix_value *values,
                 struct operand *top)
{
    switch (c->op) {
    case OP_TEXT:
        top[1] = (struct operand){.text = e->texts + c->place, .len = c->len};
        return true;
    case OP_NAME:
        return load(&values[c->place], &top[1]);
    case OP_NUMBER:
    case OP_BOOLEAN:
        top[1] = (struct operand){.number = c->number};
        return true;
    case OP_NEGATE:
        top->number = -top->number;
        return !top->text;
    case OP_NOT:
        top->number = top->number == 0;
        return !top->text;
    default: /* OP_TRUTH */
        top->number = top->number != 0;
        return !top->text;
    }
}

bool ix_expression_holds(const struct ix_expression *e, const struct ix_value *values)
{
    struct operand stack[STACK_MAX + 2];
    struct operand *top = stack; /* stack[0] is never read */

    for (size_t i = 0; i < e->name_count; i++) {
        if (values[e->names[i]].kind == IX_V_NONE)
            return false;
    }
    for (size_t i = 0; i < e->count; i++) {
        const struct code *c = &e->code[i];

        if (c->op == OP_AND || c->op == OP_OR) {
            if (top->text)
                return false;
            if ((top->number != 0) == (c->op == OP_OR)) {
                top->number = top->number != 0;
                i = c->place - 1;
            } else {
                top--;
            }
        } else if (c->op >= OP_MULTIPLY) {
            top--;
            if (!compute(c->op, top, top + 1))
                return false;
        } else {
            if (!step(e, c, values, top))
                return false;
            top += c->op <= OP_NAME;
        }
    }
    return !top->text && top->number != 0 && !isnan(top->number);
}
