/* mil_program.h - writes small MIL programs with their weights into a directory of their own, compiles and runs them. */
#ifndef ANEFORGE_MIL_PROGRAM_H
#define ANEFORGE_MIL_PROGRAM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "numerics.h"

typedef struct {
  char *sig, *body, *outs;
  size_t n_sig, n_body, n_outs, cap_sig, cap_body, cap_outs;
  uint8_t *blob;
  size_t n_blob, cap_blob;
  uint32_t n_payloads;
  int n_names;
} mil_text;

static void text_add(char **text, size_t *used, size_t *cap, const char *format, va_list list) {
  va_list again;
  va_copy(again, list);
  size_t need = (size_t)vsnprintf(NULL, 0, format, again) + 1;
  va_end(again);
  if (*used + need > *cap) {
    *cap = (*used + need) * 2;
    *text = realloc(*text, *cap);
  }
  vsnprintf(*text + *used, need, format, list);
  *used += need - 1;
}

#define TEXT_FIELD(field)                                                                                              \
  __attribute__((unused, format(printf, 2, 3))) static void mil_##field(mil_text *t, const char *format, ...) {        \
    va_list list;                                                                                                      \
    va_start(list, format);                                                                                            \
    text_add(&t->field, &t->n_##field, &t->cap_##field, format, list);                                                 \
    va_end(list);                                                                                                      \
  }
TEXT_FIELD(sig)
TEXT_FIELD(body)
TEXT_FIELD(outs)

/* Appends a payload; returns the offset of its descriptor. */
__attribute__((unused)) static size_t mil_blob(mil_text *t, uint32_t dtype, const void *data, size_t bytes) {
  size_t at = t->n_blob ? t->n_blob : 64;
  if (at + 64 + bytes > t->cap_blob) {
    t->cap_blob = (at + 64 + bytes) * 2;
    t->blob = realloc(t->blob, t->cap_blob);
    if (!t->n_blob) memset(t->blob, 0, 64);
  }
  uint64_t length = bytes, payload = at + 64;
  uint32_t magic = 0xDEADBEEF;
  memset(t->blob + at, 0, 64);
  memcpy(t->blob + at, &magic, 4);
  memcpy(t->blob + at + 4, &dtype, 4);
  memcpy(t->blob + at + 8, &length, 8);
  memcpy(t->blob + at + 16, &payload, 8);
  if (bytes) memcpy(t->blob + payload, data, bytes);
  t->n_blob = at + 64 + bytes;
  t->n_payloads++;
  return at;
}

#define BLOB "BLOBFILE(path = string(\"@model_path/weights.bin\"), offset = uint64(%zu))"

/* A constant of the given type ("tensor<fp16, [2, 3]>"). */
__attribute__((unused)) static void mil_weight(mil_text *t, const char *name, const char *type, uint32_t dtype,
                                               const void *data, size_t bytes) {
  size_t at = mil_blob(t, dtype, data, bytes);
  mil_body(t, "        %s %s = const()[name = string(\"%s\"), val = %s(" BLOB ")];\n", type, name, name, type, at);
}

/* TYPE NAME = CALL[name = string("NAME")]; */
__attribute__((unused, format(printf, 4, 5))) static void mil_op_line(mil_text *t, const char *type, const char *name,
                                                                     const char *format, ...) {
  mil_body(t, "        %s %s = ", type, name);
  va_list list;
  va_start(list, format);
  text_add(&t->body, &t->n_body, &t->cap_body, format, list);
  va_end(list);
  mil_body(t, "[name = string(\"%s\")];\n", name);
}

__attribute__((unused)) static void mil_input(mil_text *t, const char *type, const char *name) {
  mil_sig(t, "%s%s %s", t->n_sig ? ", " : "", type, name);
}

__attribute__((unused)) static void mil_output(mil_text *t, const char *name) {
  mil_outs(t, "%s%s", t->n_outs ? ", " : "", name);
}

__attribute__((unused)) static void mil_text_free(mil_text *t) {
  free(t->sig);
  free(t->body);
  free(t->outs);
  free(t->blob);
  *t = (mil_text){0};
}

static void write_file(const char *path, const void *data, size_t bytes) {
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f)) {
    perror(path);
    exit(2);
  }
}

enum { MIL_PATH_SIZE = 64 };

/* Writes the program into a new directory; path gets the place of its text. */
__attribute__((unused)) static void mil_write(const mil_text *t, char path[MIL_PATH_SIZE]) {
  char dir[] = "/tmp/aneforge-engine-XXXXXX", weights[MIL_PATH_SIZE];
  if (!mkdtemp(dir)) {
    perror(dir);
    exit(2);
  }
  snprintf(path, MIL_PATH_SIZE, "%s/model.mil", dir);
  snprintf(weights, sizeof weights, "%s/weights.bin", dir);
  uint8_t header[64] = {0};
  uint32_t version = 2;
  if (t->n_blob) memcpy(header, t->blob, 64);
  memcpy(header, &t->n_payloads, 4);
  memcpy(header + 4, &version, 4);
  FILE *f = fopen(weights, "wb");
  if (!f || fwrite(header, 1, 64, f) != 64) exit(2);
  if (t->n_blob > 64 && fwrite(t->blob + 64, 1, t->n_blob - 64, f) != t->n_blob - 64) exit(2);
  fclose(f);
  char *text = NULL;
  size_t size = 0;
  f = open_memstream(&text, &size);
  fprintf(f, "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3520.4.1\"}, "
             "{\"coremlc-version\", \"3520.5.1\"}})]\n{\n    func main<ios18>(%s) {\n%s    } -> (%s);\n}\n",
          t->sig ? t->sig : "", t->body ? t->body : "", t->outs ? t->outs : "");
  fclose(f);
  write_file(path, text, size);
  if (getenv("ANEFORGE_TEST_SHOW")) printf("%s", text);
  free(text);
}

/* Removes the directory of a written program. */
__attribute__((unused)) static void mil_remove(const char path[MIL_PATH_SIZE]) {
  char dir[MIL_PATH_SIZE], weights[MIL_PATH_SIZE + 16];
  snprintf(dir, sizeof dir, "%s", path);
  *strrchr(dir, '/') = 0;
  snprintf(weights, sizeof weights, "%s/weights.bin", dir);
  unlink(path);
  unlink(weights);
  rmdir(dir);
}

/* Writes and compiles; prints the reason and returns NULL when that fails. Frees the text unless keep is set. */
__attribute__((unused)) static engine_program *mil_compile(mil_text *t, bool keep, char *error, size_t error_size) {
  char path[MIL_PATH_SIZE];
  mil_write(t, path);
  engine_program *program = engine_compile(path, NULL, error, error_size);
  if (!program && getenv("ANEFORGE_TEST_SHOW")) printf("%s\n", error);
  mil_remove(path); /* the mapping stays */
  if (!keep) mil_text_free(t);
  return program;
}

#endif
