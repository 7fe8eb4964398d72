/* What a compiled condition is: code of a small stack machine. expression_parse.c makes it, expression.c runs it. */
#ifndef IX_MODEL_EXPRESSION_CODE_H
#define IX_MODEL_EXPRESSION_CODE_H

#include "model/expression.h"

#define IX_EXPRESSION_STACK_MAX 256 /* operands; the parser refuses what needs more */

/* From IX_OP_MULTIPLY to IX_OP_NOT_EQUAL: two operands become one. */
enum ix_op {
    IX_OP_NUMBER,
    IX_OP_TEXT,
    IX_OP_BOOLEAN,
    IX_OP_NAME,
    IX_OP_NEGATE,
    IX_OP_NOT,
    IX_OP_TRUTH,
    IX_OP_MULTIPLY,
    IX_OP_DIVIDE,
    IX_OP_MODULO,
    IX_OP_ADD,
    IX_OP_SUBTRACT,
    IX_OP_LESS,
    IX_OP_LESS_EQUAL,
    IX_OP_GREATER,
    IX_OP_GREATER_EQUAL,
    IX_OP_EQUAL,
    IX_OP_NOT_EQUAL,
    IX_OP_AND, /* jumps to `place` and keeps the operand if it is false, else drops it */
    IX_OP_OR,
};

struct ix_instruction {
    enum ix_op op;
    size_t place; /* attribute, offset in texts, or jump target */
    size_t len;
    double number;
};

struct ix_expression {
    struct ix_instruction *code;
    size_t count;
    size_t *names; /* attributes that occur, each once */
    size_t name_count;
    char *texts;
    uint64_t uses;
};

#endif
