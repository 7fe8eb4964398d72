/* iotix model: check names every fault of models, schema prints their JSON schema. */
#include "base/file.h"
#include "base/suggest.h"
#include "cli/commands.h"
#include "control/result.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_MAX (16u << 20)

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

static int check_file(const char *path)
{
    char *text;
    size_t len;
    struct ix_error err;
    if (ix_file_read(path, MODEL_MAX, &text, &len, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    struct ix_faults faults;
    ix_faults_init(&faults);
    char *folder = ix_file_dirname(path);
    struct ix_model_options options = {.folder = folder};
    struct ix_model *model = ix_model_parse(text, len, &options, &faults);
    int code = model ? 0 : -1;
    if (model)
        printf("%s: ok: %s \"%s\", %zu attribute%s, %zu command%s, %zu behaviour%s\n", path, model->id,
               model->name, model->attribute_count, plural(model->attribute_count), model->command_count,
               plural(model->command_count), model->behavior_count, plural(model->behavior_count));
    else if (ix_faults_fail(&faults, path, &err) < 0)
        fprintf(stderr, "%s\n", err.text);
    for (size_t i = 0; i < faults.count; i++)
        if (faults.items[i].warning)
            fprintf(stderr, "%s: warning: %s: %s\n", path, faults.items[i].path, faults.items[i].message);
    ix_model_free(model);
    ix_faults_deinit(&faults);
    free(folder);
    free(text);
    return code;
}

static int model_check(int argc, char **argv)
{
    static const struct ix_command_line line = {
        .usage = "iotix model check FILE…",
        .summary =
            "Validates device models: every fault of every file with its JSON path. Exit 104 if one has any.",
        .min_arguments = 1,
        .max_arguments = SIZE_MAX};
    const char **files = ix_calloc((size_t)argc + 1, sizeof *files);
    size_t count;
    int status;
    if (ix_command_begin(&line, argc, argv, files, &count, &status))
        for (size_t i = 0; i < count; i++)
            if (check_file(files[i]) < 0)
                status = IX_EXIT_CONFIGURATION;
    free(files);
    return status;
}

int ix_command_model(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "check") == 0)
        return model_check(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "schema") == 0) {
        char *schema = ix_model_schema();
        fputs(schema, stdout);
        free(schema);
        return 0;
    }
    static const char *const words[] = {"check", "schema"};
    char suggestion[128] = "";
    if (argc > 1)
        ix_suggest_put(suggestion, sizeof suggestion, argv[1], words, IX_ARRAY_LEN(words));
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if (argc > 1 && !help)
        fprintf(stderr, "iotix model: unknown command \"%s\"%s\n", argv[1], suggestion);
    fprintf(help ? stdout : stderr, "usage: iotix model check FILE…   validate models\n"
                                    "       iotix model schema        print the JSON schema of models\n");
    return help ? 0 : IX_EXIT_CONFIGURATION;
}
