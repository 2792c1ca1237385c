/* mil_fixture.h - what the tests of the MIL reader share: a scratch directory with a weight file. */
#ifndef ANEFORGE_MIL_FIXTURE_H
#define ANEFORGE_MIL_FIXTURE_H

#include "../../shim/host/mil_internal.h"
#include "mil_text.h"
#include "test.h"

static char dir[64]; /* a scratch directory with weights.bin */
static char error[4096];

/* Reads from a block of exactly the text's size, so that a sanitizer sees any byte read past it. */
static mil_program *read_exact(const char *data, size_t length, const char *target) {
  char *exact = malloc(length ? length : 1);
  memcpy(exact, data, length);
  strcpy(error, "untouched");
  mil_program *p = mil_read_text(exact, length, dir, target, error, sizeof error);
  free(exact);
  return p;
}

static mil_program *read_program(const char *target, const char *params, const char *body, const char *outputs) {
  text t = {0};
  text_program(&t, "ios18", params, body, outputs);
  mil_program *p = read_exact(t.data, t.length, target);
  text_free(&t);
  return p;
}

static bool has(const char *part) { return strstr(error, part) != NULL; }

/* The weight file of the tests. */
static void make_weights(void) {
  uint16_t w[32], bias[4] = {0xfff0, 0xfff1, 0xfff2, 0xfff3}, five = 0x4500, zeros[16] = {0};
  uint16_t scale[4] = {0x3c00, 0x3800, 0x3400, 0x3000}, nonzero[3] = {0x3e00, 0xc000, 0x3400};
  uint8_t q[32] = {0}, mask[2] = {0x22, 0x01};
  for (int i = 0; i < 32; i++) w[i] = (uint16_t)i;
  text t = {0};
  blob_start(&t);
  size_t at[] = {blob_add(&t, 1, w, 64),     blob_add(&t, 1, bias, 8),   blob_add(&t, 1, &five, 2),
                 blob_add(&t, 1, zeros, 32), blob_add(&t, 4, q, 32),     blob_add(&t, 1, scale, 8),
                 blob_add(&t, 11, q, 16),    blob_add(&t, 1, zeros, 32), blob_add(&t, 9, mask, 2),
                 blob_add(&t, 1, nonzero, 6)};
  static const size_t expected[] = {64, 192, 264, 330, 426, 522, 594, 674, 770, 836};
  if (memcmp(at, expected, sizeof at)) abort();
  write_file(dir, "weights.bin", t.data, t.length);
  text_free(&t);
}

static bool make_fixture(void) {
  snprintf(dir, sizeof dir, "/tmp/mil_test.XXXXXX");
  if (!mkdtemp(dir)) return false;
  make_weights();
  return true;
}

static void drop_fixture(void) {
  static const char *const files[] = {"weights.bin", "other.bin", "model.mil", "empty.mil"};
  for (int i = 0; i < 4; i++) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, files[i]);
    unlink(path);
  }
  rmdir(dir);
}

#endif
