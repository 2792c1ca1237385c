/* blob.c - weight files.
 *
 * Little endian. Header (64 bytes): u32 count, u32 version = 2, zeros. A blob is a 64-byte descriptor
 *     u32 0xDEADBEEF, u32 dtype code, u64 payload length, u64 payload offset in the file, zeros
 * and its payload, usually right behind it. Descriptors and payloads need not be aligned. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mil_internal.h"

#define HEADER_BYTES 64u
#define DESCRIPTOR_BYTES 64u
#define VERSION 2u
#define SENTINEL 0xDEADBEEFu

typedef struct mil_file {
  struct mil_file *next;
  const char *path; /* as in the text */
  const uint8_t *data;
  size_t size;
} mil_file;

/* dtype codes of the container; types without a code cannot be stored. */
static const uint8_t codes[] = {
    [MIL_FP16] = 1,  [MIL_FP32] = 2,   [MIL_UINT8] = 3,  [MIL_INT8] = 4,    [MIL_INT16] = 6,  [MIL_UINT16] = 7,
    [MIL_UINT1] = 9, [MIL_UINT4] = 11, [MIL_INT32] = 14, [MIL_UINT32] = 15, [MIL_STRING] = 0,
};

static const char *code_name(uint32_t code) {
  static const char *const names[] = {"0",     "Float16", "Float32", "UInt8",  "Int8",         "BFloat16",
                                      "Int16", "UInt16",  "Int4",    "UInt1",  "UInt2",        "UInt4",
                                      "UInt3", "UInt6",   "Int32",   "UInt32", "Float8E4M3FN", "Float8E5M2"};
  return code < sizeof names / sizeof *names ? names[code] : "unknown";
}

/* The mapping is private and stays as it is when the file is replaced by a rename. */
bool mil_map_file(const char *path, void **data, size_t *size) {
  *data = NULL;
  *size = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return false;
  struct stat st;
  bool ok = !fstat(fd, &st);
  if (ok && !S_ISREG(st.st_mode)) {
    errno = EISDIR;
    if (!S_ISDIR(st.st_mode)) errno = EINVAL;
    ok = false;
  }
  if (ok && (uintmax_t)st.st_size > SIZE_MAX / 2) errno = EFBIG, ok = false;
  if (ok && st.st_size) {
    *size = (size_t)st.st_size;
    *data = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (*data == MAP_FAILED) {
      *data = NULL;
      ok = false;
    }
  }
  int saved = errno;
  close(fd);
  errno = saved;
  return ok;
}

/* "@model_path/" and a relative path that stays below it. */
static const char *below_model(const char *path) {
  static const char prefix[] = "@model_path/";
  if (strncmp(path, prefix, sizeof prefix - 1)) return NULL;
  path += sizeof prefix - 1;
  if (!*path || *path == '/') return NULL;
  for (const char *part = path; part; part = strchr(part, '/'), part = part ? part + 1 : NULL)
    if (!strncmp(part, "..", 2) && (!part[2] || part[2] == '/')) return NULL;
  return path;
}

static uint32_t u32_at(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static uint64_t u64_at(const uint8_t *p) { return u32_at(p) | (uint64_t)u32_at(p + 4) << 32; }

/* The file that path names, opened at its first use in the program. */
static const mil_file *open_file(mil_reader *r, mil_pos pos, const char *path) {
  for (const mil_file *f = r->files; f; f = f->next)
    if (!strcmp(f->path, path)) return f;
  const char *name = r->statement, *relative = below_model(path);
  if (!relative)
    mil_fail(r, pos, "weight '%s': path \"%s\" is refused: weights lie below \"@model_path/\", without \"..\"", name,
             path);
  mil_file *f = mil_alloc(r, 1, sizeof *f);
  size_t length = strlen(r->model_dir) + strlen(relative) + 2;
  char *full = mil_alloc(r, length, 1);
  snprintf(full, length, "%s/%s", r->model_dir, relative);
  void *data;
  if (!mil_map_file(full, &data, &f->size))
    mil_fail(r, pos, "weight '%s': cannot read %s: %s", name, full, strerror(errno));
  if (data && !arena_keep_mapping(r->arena, data, f->size)) {
    munmap(data, f->size);
    mil_fail_file(r, "out of memory");
  }
  f->data = data;
  f->path = path;
  if (f->size < HEADER_BYTES)
    mil_fail(r, pos, "weight '%s': %s has %zu bytes, less than the header of %u", name, path, f->size, HEADER_BYTES);
  if (u32_at(f->data + 4) != VERSION)
    mil_fail(r, pos, "weight '%s': %s has container version %" PRIu32 ", expected %u", name, path, u32_at(f->data + 4),
             VERSION);
  if (!u32_at(f->data)) mil_fail(r, pos, "weight '%s': the header of %s counts 0 blobs", name, path);
  f->next = r->files;
  r->files = f;
  r->program->weight_bytes += f->size;
  return f;
}

const void *mil_blob(mil_reader *r, mil_pos pos, const char *path, uint64_t offset, const mil_type *type) {
  char text[160];
  const char *name = r->statement;
  mil_type_text(type, text, sizeof text);
  if (!codes[type->dtype]) mil_fail(r, pos, "weight '%s': %s cannot be stored in a weight file", name, text);
  const mil_file *f = open_file(r, pos, path);
  if (offset < HEADER_BYTES || offset > f->size || f->size - offset < DESCRIPTOR_BYTES)
    mil_fail(r, pos, "weight '%s': no descriptor fits at offset %" PRIu64 " of %s (%zu bytes, first descriptor at %u)",
             name, offset, path, f->size, HEADER_BYTES);
  const uint8_t *d = f->data + offset;
  if (u32_at(d) != SENTINEL)
    mil_fail(r, pos, "weight '%s': no descriptor at offset %" PRIu64 " of %s: found 0x%08" PRIX32 ", expected 0x%08X",
             name, offset, path, u32_at(d), SENTINEL);
  uint32_t code = u32_at(d + 4);
  if (code != codes[type->dtype])
    mil_fail(r, pos, "weight '%s': the blob at offset %" PRIu64 " holds dtype code %" PRIu32 " (%s), the text says %s",
             name, offset, code, code_name(code), text);
  uint64_t length = u64_at(d + 8), start = u64_at(d + 16);
  size_t bytes = mil_bytes(type);
  if (length != bytes)
    mil_fail(r, pos, "weight '%s': the blob at offset %" PRIu64 " has %" PRIu64 " bytes, %s needs %zu", name, offset,
             length, text, bytes);
  if (start < HEADER_BYTES || start > f->size || length > f->size - start)
    mil_fail(r, pos,
             "weight '%s': payload of %" PRIu64 " bytes at offset %" PRIu64 " is outside %s (%zu bytes; truncated?)",
             name, length, start, path, f->size);
  /* Kernels read elements in place, so a payload that is misaligned for its element type is copied; others stay in the
   * mapping. */
  const void *payload = f->data + start;
  size_t element = (size_t)mil_dtype_bits(type->dtype) / 8;
  if (element > 1 && (uintptr_t)payload % element) {
    void *copy = arena_alloc(r->arena, bytes ? bytes : 1, 64);
    if (!copy) mil_fail_file(r, "out of memory");
    payload = memcpy(copy, payload, bytes);
  }
  return payload;
}
