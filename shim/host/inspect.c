/* inspect.c - exports of the host library beside Apple's interface: the plan of a program, and a run that counts what the
 * arithmetic loses. The text goes to a buffer of the caller. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../e5rt.h"
#include "engine.h"
#include "report.h"

E5RT_EXPORT e5rt_explain_fn aneforge_host_explain;
E5RT_EXPORT e5rt_report_fn aneforge_host_report;

/* Hands text over and frees it. Returns its length, -1 for a reason. */
static int64_t give(char *owned, const char *reason, char *text, uint64_t size) {
  int written = text && size ? snprintf(text, size, "%s", owned ? owned : reason) : 0;
  int64_t length = owned ? (int64_t)strlen(owned) : -1;
  free(owned);
  return written < 0 ? -1 : length;
}

int64_t aneforge_host_explain(const char *mil_path, const char *target, char *text, uint64_t size) {
  char error[4096] = "out of memory";
  engine_program *program = engine_compile(mil_path, target, error, sizeof error);
  char *owned = program ? engine_explain(program) : NULL;
  if (program) engine_release(program);
  return give(owned, error, text, size);
}

int64_t aneforge_host_report(const char *mil_path, uint32_t n_inputs, const void *data, const uint64_t *bytes, char *text,
                             uint64_t size) {
  char error[4096] = "out of memory";
  return give(report_run(mil_path, n_inputs, data, bytes, error, sizeof error), error, text, size);
}
