#include <string.h>

#include "internal.h"

static _Thread_local char text[AF_ERROR_SIZE];
static _Thread_local af_status last;

char *af_error_buffer(void) { return text; }

af_status af_error_set(af_status status) { return last = status; }

af_status af_error_status(void) { return last; }

const char *af_last_error(void) { return text; }

/* The text carries what the provider says about the call; without that symbol it says where else to look. */
af_status af_vendor_failed(const af_vendor *vendor, af_status status, const char *step, const char *call, int64_t code) {
  const char *detail = "Espresso writes the reason to stderr and to the system log";
  if (vendor->error_text) detail = vendor->error_text();
  if (!detail || !*detail) detail = "the provider gives no reason";
  if (code == 0) return AF_FAIL(status, "%s: %s succeeded but gave nothing: %s", step, call, detail);
  return AF_FAIL(status, "%s: %s failed with %lld: %s", step, call, (long long)code, detail);
}
