/* inspect.c - what a provider shows of its work, when it shows anything. */
#include <string.h>

#include "internal.h"

typedef struct {
  const char *call, *mil_path, *target;
  uint32_t n_inputs;
  const void *data;
  const uint64_t *bytes;
  char *text;
  uint64_t size, *length;
} inspection;

static af_status inspect(const af_vendor *vendor, const inspection *i, bool run) {
  if (run ? !vendor->report : !vendor->explain)
    return AF_FAIL(AF_E_MISSING, "%s: this device does not report how it runs a program", i->call);
  int64_t length = run ? vendor->report(i->mil_path, i->n_inputs, i->data, i->bytes, i->text, i->size)
                       : vendor->explain(i->mil_path, i->target, i->text, i->size);
  if (length < 0) return AF_FAIL(AF_E_COMPILE, "%s: %s", i->call, i->text);
  *i->length = (uint64_t)length;
  return AF_OK;
}

/* Checks what both calls share, then asks the provider. */
static af_status enter(af_device *device, const inspection *i, bool run) {
  if (!i->mil_path || !*i->mil_path) return AF_FAIL(AF_E_ARGUMENT, "%s: no program file given", i->call);
  if (!i->text || !i->size || !i->length) return AF_FAIL(AF_E_ARGUMENT, "%s: no buffer for the text", i->call);
  if (i->n_inputs && (!i->data || !i->bytes)) return AF_FAIL(AF_E_ARGUMENT, "%s: no data for the inputs", i->call);
  i->text[0] = 0;
  if (!af_device_enter(device)) return af_error_status();
  af_status status = inspect(&device->vendor, i, run);
  af_device_leave(device);
  return status;
}

af_status af_explain(af_device *device, const char *mil_path, const char *target, char *text, uint64_t size,
                     uint64_t *length) {
  inspection i = {.call = "af_explain", .mil_path = mil_path, .target = target, .text = text, .size = size, .length = length};
  return enter(device, &i, false);
}

af_status af_report(af_device *device, const char *mil_path, uint32_t n_inputs, const void *data, const uint64_t *bytes,
                    char *text, uint64_t size, uint64_t *length) {
  inspection i = {.call = "af_report", .mil_path = mil_path, .n_inputs = n_inputs, .data = data, .bytes = bytes,
                  .text = text, .size = size, .length = length};
  return enter(device, &i, true);
}
