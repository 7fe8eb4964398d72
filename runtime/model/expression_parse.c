/* Conditions: a Pratt parser that emits code for a small stack machine. Parsing recurses at most DEPTH_MAX deep, so that
 * no condition can exhaust the stack. */
#include "base/suggest.h"
#include "model/expression_code.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX  4096
#define DEPTH_MAX 64

/* ---- words ---- */

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

/* ---- code ---- */

static size_t emit(struct parser *p, struct ix_instruction code, int stack)
{
    struct ix_expression *e = p->e;

    if (e->count == p->code_cap) {
        p->code_cap = p->code_cap ? 2 * p->code_cap : 16;
        e->code = ix_realloc(e->code, p->code_cap * sizeof(e->code[0]));
    }
    p->stack = (size_t)((long)p->stack + stack);
    if (p->stack > IX_EXPRESSION_STACK_MAX)
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
        emit(p, (struct ix_instruction){.op = IX_OP_BOOLEAN, .number = name[0] == 't'}, 1);
        return;
    }
    for (size_t i = 0; i < p->name_count; i++) {
        if (strlen(p->names[i]) == p->token.len && memcmp(p->names[i], p->token.at, p->token.len) == 0) {
            use_name(p, i);
            emit(p, (struct ix_instruction){.op = IX_OP_NAME, .place = i}, 1);
            return;
        }
    }
    if (p->name_count == 0)
        snprintf(hint, sizeof(hint), "; the model has no telemetry");
    else
        ix_suggest_put(hint, sizeof(hint), name, p->names, p->name_count);
    fail(p, p->token.at, "no telemetry attribute is called \"%s\"%s", name, hint);
}

/* ---- grammar ---- */

static void parse(struct parser *p, int power, int depth);

enum { POWER_OR = 1, POWER_AND, POWER_EQUAL, POWER_ORDER, POWER_ADD, POWER_MULTIPLY, POWER_UNARY };

static void parse_operand(struct parser *p, int depth)
{
    struct token token = p->token;

    if (token.kind == T_NUMBER) {
        emit(p, (struct ix_instruction){.op = IX_OP_NUMBER, .number = token.number}, 1);
    } else if (token.kind == T_TEXT) {
        emit(p,
             (struct ix_instruction){
                 .op = IX_OP_TEXT, .place = (size_t)(token.at - p->text), .len = token.len},
             1);
    } else if (token.kind == T_NAME) {
        parse_name(p);
    } else if (is_operator(p, "-") || is_operator(p, "!")) {
        next(p);
        parse(p, POWER_UNARY, depth + 1);
        emit(p, (struct ix_instruction){.op = token.op[0] == '-' ? IX_OP_NEGATE : IX_OP_NOT}, 0);
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
    enum ix_op op;
} binary[] = {
    {"||", POWER_OR, IX_OP_OR},
    {"&&", POWER_AND, IX_OP_AND},
    {"==", POWER_EQUAL, IX_OP_EQUAL},
    {"!=", POWER_EQUAL, IX_OP_NOT_EQUAL},
    {"<", POWER_ORDER, IX_OP_LESS},
    {"<=", POWER_ORDER, IX_OP_LESS_EQUAL},
    {">", POWER_ORDER, IX_OP_GREATER},
    {">=", POWER_ORDER, IX_OP_GREATER_EQUAL},
    {"+", POWER_ADD, IX_OP_ADD},
    {"-", POWER_ADD, IX_OP_SUBTRACT},
    {"*", POWER_MULTIPLY, IX_OP_MULTIPLY},
    {"/", POWER_MULTIPLY, IX_OP_DIVIDE},
    {"%", POWER_MULTIPLY, IX_OP_MODULO},
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
        if (binary[i].op == IX_OP_AND || binary[i].op == IX_OP_OR) {
            size_t jump = emit(p, (struct ix_instruction){.op = binary[i].op}, -1);

            parse(p, binary[i].power, depth + 1);
            emit(p, (struct ix_instruction){.op = IX_OP_TRUTH}, 0);
            p->e->code[jump].place = p->e->count;
        } else {
            parse(p, binary[i].power, depth + 1);
            emit(p, (struct ix_instruction){.op = binary[i].op}, -1);
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
