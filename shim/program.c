/* program.c - compile, bind, share, release. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Rows by AF_* element type. */
static const struct {
  const char *name;
  uint8_t size;
} dtypes[] = {[AF_FP16] = {"fp16", 2}, [AF_UINT8] = {"uint8", 1}, [AF_INT8] = {"int8", 1},
              [AF_UINT16] = {"uint16", 2}, [AF_INT16] = {"int16", 2}};

enum { N_DTYPES = sizeof dtypes / sizeof *dtypes, MAX_PORTS = 1 << 16 };
#define MAX_ELEMENTS ((uint64_t)1 << 40)

uint64_t af_port_bytes(const af_port *port) { return port->elements * dtypes[port->dtype].size; }

/* Rounded up to 64; a port has at least one element, so this is at least 64. */
static uint64_t buffer_bytes(const af_port *port) { return (af_port_bytes(port) + 63) & ~(uint64_t)63; }

const char *af_dtype_name(uint32_t dtype) { return dtype < N_DTYPES ? dtypes[dtype].name : "unknown"; }

static af_port *port_at(af_body *body, uint32_t i) {
  return i < body->n_inputs ? &body->input[i] : &body->output[i - body->n_inputs];
}

static void body_free(af_body *body) {
  free(body->input);
  free(body->names);
  free(body);
}

static void port_release(const af_vendor *v, af_port *port) {
  af_drop(v->e5rt_buffer_object_release, &port->buffer);
  af_drop(v->e5rt_io_port_release, &port->port);
}

/* Stream first, it refers to everything else; then ports with their buffers, the event, and what the operation came from. */
static void unload(af_body *body) {
  const af_vendor *v = body->vendor;
  af_drop(v->e5rt_execution_stream_release, &body->stream);
  for (uint32_t i = 0; i < body->n_inputs + body->n_outputs; i++) port_release(v, port_at(body, i));
  if (body->event) af_drop(v->e5rt_async_event_release, &body->event);
  af_chain_release(v, &body->chain);
}

/* Splits the name list into the ports and checks each port. */
static af_status read_ports(af_body *body, const char *names, uint64_t names_bytes, const uint32_t *dtype,
                            const uint64_t *elements) {
  uint32_t n = body->n_inputs + body->n_outputs;
  memcpy(body->names, names, names_bytes);
  const char *end = body->names + names_bytes;
  char *name = body->names;
  for (uint32_t i = 0; i < n; i++) {
    af_port *port = port_at(body, i);
    if (name >= end || !*name) return AF_FAIL(AF_E_ARGUMENT, "compile: port %u of %u has no name", i, n);
    *port = (af_port){.name = name, .elements = elements[i], .dtype = dtype[i]};
    name += strlen(name) + 1; /* the list ends with NUL, so this stays inside */
    for (uint32_t j = 0; j < i; j++)
      if (strcmp(port_at(body, j)->name, port->name) == 0)
        return AF_FAIL(AF_E_ARGUMENT, "compile: ports %u and %u are both named %.256s", j, i, port->name);
    if (port->dtype >= N_DTYPES)
      return AF_FAIL(AF_E_ARGUMENT, "compile: port %.256s: unknown element type %u", port->name, port->dtype);
    if (i >= body->n_inputs && port->dtype != AF_FP16)
      return AF_FAIL(AF_E_ARGUMENT, "compile: output %.256s is %s, outputs are fp16", port->name,
                     af_dtype_name(port->dtype));
    if (port->elements == 0 || port->elements > MAX_ELEMENTS)
      return AF_FAIL(AF_E_ARGUMENT, "compile: port %.256s has %llu elements, allowed are 1 to 2^40", port->name,
                     (unsigned long long)port->elements);
  }
  if (name != end)
    return AF_FAIL(AF_E_ARGUMENT, "compile: the name list holds more than %u names", n);
  return AF_OK;
}

static af_body *body_make(uint32_t n_inputs, uint32_t n_outputs, const char *names, uint64_t names_bytes,
                          const uint32_t *dtype, const uint64_t *elements) {
  if (!names || !dtype || !elements || n_outputs == 0 || n_inputs > MAX_PORTS || n_outputs > MAX_PORTS) {
    AF_FAIL(AF_E_ARGUMENT, "compile: %u inputs and %u outputs%s; a program has 1 to %d outputs and at most %d inputs",
            n_inputs, n_outputs, names && dtype && elements ? "" : " in a NULL list", MAX_PORTS, MAX_PORTS);
    return NULL;
  }
  if (names_bytes == 0 || names_bytes > UINT32_MAX || names[names_bytes - 1]) {
    AF_FAIL(AF_E_ARGUMENT, "compile: the list of port names does not end with NUL");
    return NULL;
  }
  af_body *body = calloc(1, sizeof *body);
  if (body) {
    body->n_inputs = n_inputs;
    body->n_outputs = n_outputs;
    body->input = calloc(n_inputs + n_outputs, sizeof *body->input);
    body->names = malloc(names_bytes);
  }
  if (!body || !body->input || !body->names) {
    if (body) body_free(body);
    AF_FAIL(AF_E_MEMORY, "compile: out of memory for %u ports", n_inputs + n_outputs);
    return NULL;
  }
  body->output = body->input + n_inputs;
  if (read_ports(body, names, names_bytes, dtype, elements) == AF_OK) return body;
  body_free(body);
  return NULL;
}

/* On failure the buffer, then the port are released. */
static af_status bind(af_body *body, af_port *port, bool output) {
  const af_vendor *v = body->vendor;
  char step[300], call[96];
  snprintf(step, sizeof step, "bind %s %.256s", output ? "output" : "input", port->name);
  af_status status;
  void *operation = body->chain.operation;
  int64_t err = output ? v->e5rt_execution_stream_operation_retain_output_port(operation, port->name, &port->port)
                       : v->e5rt_execution_stream_operation_retain_input_port(operation, port->name, &port->port);
  if (err || !port->port) {
    snprintf(call, sizeof call, "e5rt_execution_stream_operation_retain_%s_port", output ? "output" : "input");
    status = af_vendor_failed(v, AF_E_LOAD, step, call, err);
    goto failed;
  }
  uint64_t size = buffer_bytes(port);
  err = v->e5rt_buffer_object_alloc(&port->buffer, size, 0);
  if (err || !port->buffer) {
    snprintf(call, sizeof call, "e5rt_buffer_object_alloc(%llu, type=0)", (unsigned long long)size);
    status = af_vendor_failed(v, AF_E_MEMORY, step, call, err);
    goto failed;
  }
  err = v->e5rt_buffer_object_get_data_ptr(port->buffer, &port->data);
  if (err || !port->data) {
    status = af_vendor_failed(v, AF_E_LOAD, step, "e5rt_buffer_object_get_data_ptr", err);
    goto failed;
  }
  memset(port->data, 0, size);
  err = v->e5rt_io_port_bind_buffer_object(port->port, port->buffer);
  if (!err) return AF_OK;
  status = af_vendor_failed(v, AF_E_LOAD, step, "e5rt_io_port_bind_buffer_object", err);
failed:
  port_release(v, port);
  return status;
}

/* The completion event, bound while the operation is not encoded. A program without one can still run synchronously. */
static void make_event(af_body *body) {
  const af_vendor *v = body->vendor;
  if (!v->e5rt_async_event_create || !v->e5rt_async_event_release ||
      !v->e5rt_execution_stream_operation_bind_completion_event)
    return;
  if (v->e5rt_async_event_create(&body->event, "op0_complete", 0)) {
    body->event = NULL;
    return;
  }
  if (body->event && v->e5rt_execution_stream_operation_bind_completion_event(body->chain.operation, body->event))
    af_drop(v->e5rt_async_event_release, &body->event);
}

static af_status load(af_body *body) {
  const af_vendor *v = body->vendor;
  af_status status = af_chain_load(v, &body->chain);
  if (status != AF_OK) return status;
  for (uint32_t i = 0; i < body->n_inputs + body->n_outputs && status == AF_OK; i++)
    status = bind(body, port_at(body, i), i >= body->n_inputs);
  if (status != AF_OK) return status;
  make_event(body);
  int64_t err = v->e5rt_execution_stream_create(&body->stream);
  if (err || !body->stream) return af_vendor_failed(v, AF_E_LOAD, "load", "e5rt_execution_stream_create", err);
  return AF_OK;
}

af_program *af_program_compile(af_device *device, const char *mil_path, const char *cache_dir, uint64_t device_mask,
                               uint32_t flags, uint32_t n_inputs, uint32_t n_outputs, const char *names,
                               uint64_t names_bytes, const uint32_t *dtypes, const uint64_t *elements) {
  af_job job = {.mil_path = mil_path, .cache_dir = cache_dir, .mask = device_mask, .profile = flags & AF_PROFILE};
  if (af_job_check(&job) != AF_OK) return NULL;
  if (flags & ~(uint32_t)AF_PROFILE) {
    AF_FAIL(AF_E_ARGUMENT, "compile: unknown flags 0x%x", flags);
    return NULL;
  }
  af_body *body = body_make(n_inputs, n_outputs, names, names_bytes, dtypes, elements);
  if (!body) return NULL;
  body->device = af_device_enter(device);
  if (!body->device) {
    body_free(body);
    return NULL;
  }
  body->vendor = &device->vendor;
  af_program *program = NULL;
  if (af_chain_compile(body->vendor, &job, &body->chain) == AF_OK && load(body) == AF_OK) {
    program = af_slot_take(body);
    if (program) return program;
    AF_FAIL(AF_E_LOAD, "load: too many programs are alive; release one");
  }
  unload(body);
  af_device_leave(body->device);
  body_free(body);
  return NULL;
}

void af_program_release(af_program *program) {
  af_slot *slot = af_slot_close(program);
  if (!slot) return;
  af_flight_end(slot);
  af_body *body = slot->body;
  unload(body);
  af_device_leave(body->device);
  body_free(body);
  af_slot_free(slot);
}

/* Bind first; only when that has worked the input gives up its own buffer. */
af_status af_share_buffer(af_program *program, uint32_t output, uint32_t input) {
  af_body *body = af_enter(program, "af_share_buffer");
  if (!body) return af_error_status();
  if (output >= body->n_outputs || input >= body->n_inputs)
    return af_keep(body, AF_FAIL(AF_E_ARGUMENT, "af_share_buffer: output %u of %u, input %u of %u", output,
                                 body->n_outputs, input, body->n_inputs));
  af_port *from = &body->output[output], *to = &body->input[input];
  if (body->encoded)
    return af_keep(body, AF_FAIL(AF_E_STATE, "af_share_buffer(%.256s, %.256s): the program has already run", from->name,
                                 to->name));
  if (from->elements != to->elements || from->dtype != to->dtype)
    return af_keep(body, AF_FAIL(AF_E_ARGUMENT, "af_share_buffer: output %.256s is %llu x %s, input %.256s is %llu x %s",
                                 from->name, (unsigned long long)from->elements, af_dtype_name(from->dtype), to->name,
                                 (unsigned long long)to->elements, af_dtype_name(to->dtype)));
  int64_t err = body->vendor->e5rt_io_port_bind_buffer_object(to->port, from->buffer);
  if (err)
    return af_keep(body, af_vendor_failed(body->vendor, AF_E_STATE, "share", "e5rt_io_port_bind_buffer_object", err));
  af_drop(body->vendor->e5rt_buffer_object_release, &to->buffer);
  to->data = from->data;
  return AF_OK;
}
