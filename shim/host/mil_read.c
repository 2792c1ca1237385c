/* mil_read.c - the entry points: a file or a text to a checked program. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

#include "mil_internal.h"

#define MAX_TEXT ((size_t)1 << 30) /* so that lines and columns are ints */

/* Only this frame holds the jump; everything that changes in between is behind r. */
static bool run(mil_reader *r) {
  if (setjmp(r->failed)) return false;
  if (!r->family) r->family = mil_target_family(MIL_DEFAULT_TARGET);
  if (r->family < 2)
    mil_fail_file(r, "MIL is only supported for H13+ ANE architectures (target %s; h13 is the first one)", r->target);
  if ((size_t)(r->end - r->text) > MAX_TEXT) mil_fail_file(r, "the program text is larger than 2^30 bytes");
  r->program = mil_alloc(r, 1, sizeof *r->program);
  r->program->arena = r->arena;
  r->program->path = mil_copy_string(r, r->file, strlen(r->file));
  mil_parse(r);
  return true;
}

static mil_program *read_text(const char *file, const char *text, size_t length, const char *model_dir,
                              const char *target, char *error, size_t error_size) {
  mil_reader *r = calloc(1, sizeof *r);
  mil_program *program = NULL;
  if (error && error_size) snprintf(error, error_size, "%s: error: out of memory", file);
  if (!r) return NULL;
  r->arena = arena_new();
  if (r->arena) {
    r->file = file;
    r->text = r->at = r->line_start = text ? text : "";
    r->end = r->text + (text ? length : 0);
    r->line = 1;
    r->model_dir = model_dir;
    r->target = target;
    r->family = mil_target_family(target);
    r->error = error;
    r->error_size = error_size;
    /* numbers are read with a point whatever the host program's locale says */
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t old = uselocale(c_locale);
    if (run(r)) program = r->program;
    uselocale(old);
    if (c_locale) freelocale(c_locale);
  }
  if (program && error && error_size) *error = 0;
  if (!program) arena_free(r->arena);
  free(r);
  return program;
}

mil_program *mil_read_text(const char *text, size_t length, const char *model_dir, const char *target, char *error,
                           size_t error_size) {
  return read_text("<text>", text, length, model_dir ? model_dir : ".", target, error, error_size);
}

mil_program *mil_read(const char *path, const char *target, char *error, size_t error_size) {
  void *text;
  size_t length;
  const char *slash = strrchr(path, '/');
  char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
  mil_program *program = NULL;
  if (!dir || !mil_map_file(path, &text, &length)) {
    if (error && error_size)
      snprintf(error, error_size, "%s: error: cannot read the program: %s", path, strerror(errno));
  } else {
    program = read_text(path, text, length, dir, target, error, error_size);
    if (text) munmap(text, length);
  }
  free(dir);
  return program;
}

void mil_free(mil_program *program) {
  if (program) arena_free(program->arena);
}
