/* mil_text.h - MIL programs and weight files for the tests of the reader: a growing text, weight containers. */
#ifndef ANEFORGE_MIL_TEXT_H
#define ANEFORGE_MIL_TEXT_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  char *data;
  size_t length, room;
} text;

__attribute__((unused)) static void text_bytes(text *t, const void *data, size_t length) {
  if (t->length + length + 1 > t->room) {
    t->room = (t->length + length + 1) * 2;
    t->data = realloc(t->data, t->room);
    if (!t->data) abort();
  }
  memcpy(t->data + t->length, data, length);
  t->length += length;
  t->data[t->length] = 0;
}

__attribute__((unused, format(printf, 2, 3))) static void text_add(text *t, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  char *buf = malloc((size_t)n + 1);
  if (!buf) abort();
  vsnprintf(buf, (size_t)n + 1, format, again);
  va_end(again);
  text_bytes(t, buf, (size_t)n);
  free(buf);
}

__attribute__((unused)) static void text_free(text *t) {
  free(t->data);
  *t = (text){0};
}

#define MIL_HEADER                                                                                                     \
  "program(1.3)\n"                                                                                                     \
  "[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3520.4.1\"}, {\"coremlc-version\", "               \
  "\"3520.5.1\"}})]\n"

/* main<opset>(params) { body } -> (outputs) in the layout of the emitter. */
__attribute__((unused)) static void text_program(text *t, const char *opset, const char *params, const char *body,
                                                 const char *outputs) {
  text_add(t, MIL_HEADER "{\n    func main<%s>(%s) {\n%s    } -> (%s);\n}\n", opset, params, body, outputs);
}

/* A weight container: blob_start, then blob_add per payload; each returns the descriptor's offset. */
__attribute__((unused)) static void blob_start(text *t) {
  uint32_t header[16] = {0, 2};
  text_bytes(t, header, sizeof header);
}

__attribute__((unused)) static size_t blob_add(text *t, uint32_t code, const void *data, size_t length) {
  size_t at = t->length;
  uint32_t count;
  memcpy(&count, t->data, 4);
  count++;
  memcpy(t->data, &count, 4);
  struct {
    uint32_t sentinel, code;
    uint64_t length, offset;
    uint8_t zero[40];
  } descriptor = {0xDEADBEEF, code, length, at + 64, {0}};
  text_bytes(t, &descriptor, 64);
  text_bytes(t, data, length);
  return at;
}

__attribute__((unused)) static void write_file(const char *dir, const char *name, const void *data, size_t length) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(data, 1, length, f) != length || fclose(f)) {
    fprintf(stderr, "cannot write %s\n", path);
    abort();
  }
}

#endif
