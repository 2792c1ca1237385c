#include "strict.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block_runtime.h"
#include "handles.h"

#define RULE_ROW(constant, rule_id, error, words) {rule_id, words, error},
static const struct {
  const char *id, *text;
  enum host_error code;
} rules[] = {HOST_RULES(RULE_ROW)};

#define RULE_LINE(constant, id, code, text) id "\t" text "\n"
const char *aneforge_host_strict_rules(void) { return HOST_RULES(RULE_LINE) ""; }

static _Thread_local char text[5120];
static _Thread_local e5rt_error_code_t last;
static bool strict;

const char *aneforge_host_error_text(void) { return text; }
e5rt_error_code_t host_error_code(void) { return last; }

static void stop(enum host_rule rule, const char *why) {
  fprintf(stderr, "aneforge host strict: %s: %s (%s)\n", rules[rule].id, why, rules[rule].text);
  fflush(stderr);
  abort();
}

static void check_leaks(void) {
  char list[512];
  if (handles_live_text(list, sizeof list) + blocks_live_text(list, sizeof list)) stop(RULE_LEAK, list);
}

static void read_environment(void) {
  const char *value = getenv("ANEFORGE_HOST_STRICT");
  strict = value && strcmp(value, "1") == 0;
  if (strict) atexit(check_leaks);
}

bool host_strict(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, read_environment);
  return strict;
}

static e5rt_error_code_t keep(e5rt_error_code_t code, const char *call, const char *format, va_list arguments) {
  int used = snprintf(text, sizeof text, "%s: ", call);
  vsnprintf(text + used, sizeof text - (size_t)used, format, arguments);
  return last = code;
}

e5rt_error_code_t host_fail(enum host_error code, const char *call, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  keep(code, call, format, arguments);
  va_end(arguments);
  return code;
}

e5rt_error_code_t host_refuse(enum host_rule rule, const char *call, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  keep(rules[rule].code, call, format, arguments);
  va_end(arguments);
  if (host_strict()) stop(rule, text);
  return rules[rule].code;
}

e5rt_error_code_t host_fail_again(e5rt_error_code_t code, const char *why) {
  snprintf(text, sizeof text, "%s", why);
  return last = code;
}
