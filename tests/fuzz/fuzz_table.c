/* Data files from anywhere: CSV, JSON arrays, JSON lines. The file is exactly as long as the input, so that a
 * read behind its end is seen where it leaves the last page. */
#include "driver.h"

#include "generator/generator.h"
#include "generator/table.h"

#include <fcntl.h>
#include <unistd.h>

static char folder[] = "/tmp/iotix-fuzz-XXXXXX";
static char path[64];

static void read_rows(const char *column)
{
    struct ix_table_file *file;
    struct ix_error err;
    struct ix_cell cell;
    double number;

    if (ix_table_file_open(path, column, &file, &err) < 0)
        return;
    char *room = ix_malloc(ix_table_file_room(file));
    for (uint64_t row = 0; row < ix_table_file_rows(file) && row < 200; row++) {
        if (ix_table_file_cell(file, row, room, &cell) == 0)
            ix_value_parse_number(cell.data, cell.len, &number);
        ix_table_file_line(file, row);
    }
    free(room);
    ix_table_file_close(file);
}

static void read_as(enum ix_type type)
{
    const struct ix_model model = {.folder = folder};
    struct ix_generator_spec spec = {.kind = IX_GEN_REPLAY, .type = type, .decimals = -1, .loop = true};
    struct ix_generator g;
    struct ix_error err;
    struct ix_value value;

    spec.file = (char *)"input";
    if (ix_generator_open(&g, &spec, &model, &err) < 0)
        return;
    for (uint64_t tick = 0; tick < 50; tick++) {
        struct ix_draw draw = {.tick = tick};

        if (g.class->sample(&g, &draw, &value, &err) == 0)
            ix_value_coerce(&value, type, &err);
    }
    ix_generator_close(&g);
}

static void clean_up(void)
{
    unlink(path);
    rmdir(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd;

    if (!path[0]) {
        IX_REQUIRE(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/input", folder);
        atexit(clean_up);
    }
    fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    IX_REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
    read_rows(NULL);
    read_rows("v");
    read_as(IX_TYPE_NUMBER);
    read_as(IX_TYPE_INTEGER);
    read_as(IX_TYPE_BOOLEAN);
    return 0;
}

const char *const fuzz_words[] = {
    "\"",  "\"\"", ",", ";", "\t", "\n",      "\r\n",           "v",       "{\"v\":",
    "{",   "}",    "[", "]", ":",  "\\u00e9", "\\ud83d\\ude00", "\\ud800", "\\",
    "1.5", "-",    "+", "e", ".",  "007",     "true",           "null",    "\xef\xbb\xbf",
    NULL};

size_t fuzz_seeds(struct fuzz_seed *seeds, size_t max)
{
    static const char *const texts[] = {
        "time,v\n1,20.5\n2,\"a \"\"b\"\"\"\n3,-1e2\n",
        "v;w\r\n1;2\r\n\r\n3;4",
        "[1, 2.5, -3e0, \"x\\n\", true]",
        "[{\"t\":{\"x\":[1,\"]\"]},\"v\":1.0},{\"v\":\"2.5\\u00e9\",\"t\":0}]",
        "{\"v\":1}\n{\"v\":\"a\"}\n\n{\"v\":null}\n",
    };
    size_t count = 0;

    for (; count < IX_ARRAY_LEN(texts) && count < max; count++)
        seeds[count] = (struct fuzz_seed){ix_strdup(texts[count]), strlen(texts[count])};
    return count;
}

size_t fuzz_restructure(char *data, size_t len, size_t max, uint64_t key)
{
    (void)data;
    (void)len;
    (void)max;
    (void)key;
    return 0;
}
