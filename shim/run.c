/* run.c - feed, run, read. Calls on one program do not overlap; only af_wait() may be on another thread. */
#include <string.h>

#include "internal.h"

/* A live program that is not in flight. No lock, no text unless it fails. */
af_body *af_enter(af_program *program, const char *call) {
  af_slot *slot = af_slot_find(program, call);
  if (!slot) return NULL;
  if (!__atomic_load_n(&slot->flying, __ATOMIC_ACQUIRE)) return slot->body;
  AF_FAIL(AF_E_STATE, "%s: a submit is in flight; wait for it first", call);
  return NULL;
}

af_status af_keep(af_body *body, af_status status) {
  memcpy(body->error, af_error_buffer(), sizeof body->error);
  return status;
}

/* -- ports ----------------------------------------------------------------------------------------------------------- */

static af_status refuse(af_body *body, const char *call, const af_port *port, const char *what, uint64_t given,
                        uint64_t expected) {
  return af_keep(body, AF_FAIL(AF_E_ARGUMENT, "%s(%.256s): %llu %s, the port (%s) has %llu", call, port->name,
                               (unsigned long long)given, what, af_dtype_name(port->dtype),
                               (unsigned long long)expected));
}

static af_status no_port(af_body *body, bool output, uint32_t i, const char *call) {
  return af_keep(body, AF_FAIL(AF_E_ARGUMENT, "%s: no %s %u, the program has %u", call, output ? "output" : "input", i,
                               output ? body->n_outputs : body->n_inputs));
}

/* The port, when n elements (fp16) or bytes (integers) fill it exactly. */
static af_port *port_for(af_program *program, bool output, uint32_t i, const void *data, uint64_t n, bool fp16,
                         const char *call) {
  af_body *body = af_enter(program, call);
  if (!body) return NULL;
  uint32_t count = output ? body->n_outputs : body->n_inputs;
  if (i >= count) {
    no_port(body, output, i, call);
    return NULL;
  }
  af_port *port = output ? &body->output[i] : &body->input[i];
  uint64_t expected = fp16 ? port->elements : af_port_bytes(port);
  if ((port->dtype == AF_FP16) != fp16) {
    af_keep(body, AF_FAIL(AF_E_ARGUMENT, "%s(%.256s): the port is %s", call, port->name, af_dtype_name(port->dtype)));
    return NULL;
  }
  if (n != expected) {
    refuse(body, call, port, fp16 ? "elements" : "bytes", n, expected);
    return NULL;
  }
  if (!data) {
    af_keep(body, AF_FAIL(AF_E_ARGUMENT, "%s(%.256s): the data is NULL", call, port->name));
    return NULL;
  }
  return port;
}

af_status af_write_f32(af_program *program, uint32_t input, const float *data, uint64_t n) {
  af_port *port = port_for(program, false, input, data, n, true, "af_write_f32");
  if (!port) return af_error_status();
  af_f32_to_f16(port->data, data, n);
  return AF_OK;
}

af_status af_write_f16(af_program *program, uint32_t input, const uint16_t *data, uint64_t n) {
  af_port *port = port_for(program, false, input, data, n, true, "af_write_f16");
  if (!port) return af_error_status();
  memcpy(port->data, data, n * 2);
  return AF_OK;
}

af_status af_write_bytes(af_program *program, uint32_t input, const void *data, uint64_t bytes) {
  af_port *port = port_for(program, false, input, data, bytes, false, "af_write_bytes");
  if (!port) return af_error_status();
  memcpy(port->data, data, bytes);
  return AF_OK;
}

af_status af_read_f32(af_program *program, uint32_t output, float *data, uint64_t n) {
  af_port *port = port_for(program, true, output, data, n, true, "af_read_f32");
  if (!port) return af_error_status();
  af_f16_to_f32(data, port->data, n);
  return AF_OK;
}

af_status af_read_f16(af_program *program, uint32_t output, uint16_t *data, uint64_t n) {
  af_port *port = port_for(program, true, output, data, n, true, "af_read_f16");
  if (!port) return af_error_status();
  memcpy(data, port->data, n * 2);
  return AF_OK;
}

static void *port_data(af_program *program, bool output, uint32_t i, const char *call) {
  af_slot *slot = af_slot_find(program, call);
  if (!slot) return NULL;
  af_body *body = slot->body;
  uint32_t count = output ? body->n_outputs : body->n_inputs;
  if (i < count) return output ? body->output[i].data : body->input[i].data;
  no_port(body, output, i, call);
  return NULL;
}

void *af_input_data(af_program *program, uint32_t input) { return port_data(program, false, input, "af_input_data"); }

void *af_output_data(af_program *program, uint32_t output) { return port_data(program, true, output, "af_output_data"); }

/* -- run ----------------------------------------------------------------------------------------------------------------- */

/* Once, at the first run. No reset and no prepare: both are refused on what was never encoded. */
static af_status encode(af_body *body) {
  if (body->encoded) return AF_OK;
  int64_t err = body->vendor->e5rt_execution_stream_encode_operation(body->stream, body->chain.operation);
  if (err)
    return af_keep(body, af_vendor_failed(body->vendor, AF_E_EXECUTE, "encode",
                                          "e5rt_execution_stream_encode_operation", err));
  body->encoded = true;
  return AF_OK;
}

af_status af_execute(af_program *program) {
  af_body *body = af_enter(program, "af_execute");
  if (!body) return af_error_status();
  af_status status = encode(body);
  if (status != AF_OK) return status;
  int64_t err = body->vendor->e5rt_execution_stream_execute_sync(body->stream);
  if (!err) return AF_OK;
  return af_keep(body, af_vendor_failed(body->vendor, AF_E_EXECUTE, "execute", "e5rt_execution_stream_execute_sync", err));
}

/* -- asynchronous run ---------------------------------------------------------------------------------------------------- */

/* What an asynchronous run needs and this provider lacks, or NULL. */
static const char *missing_for_submit(const af_body *body) {
  const af_vendor *v = body->vendor;
  if (!v->e5rt_execution_stream_submit_async) return "e5rt_execution_stream_submit_async";
  if (!v->e5rt_async_event_sync_wait) return "e5rt_async_event_sync_wait";
  if (!v->e5rt_async_event_get_last_signaled_value) return "e5rt_async_event_get_last_signaled_value";
  if (!v->block_copy || !v->block_release || !v->stack_block) return "the blocks runtime (_Block_copy)";
  if (!body->event) return "a completion event for this program";
  return NULL;
}

af_status af_submit(af_program *program) {
  af_body *body = af_enter(program, "af_submit");
  if (!body) return af_error_status();
  const af_vendor *v = body->vendor;
  const char *missing = missing_for_submit(body);
  if (missing)
    return af_keep(body, AF_FAIL(AF_E_MISSING, "af_submit: the provider lacks %s; af_execute works", missing));
  af_status status = encode(body);
  if (status != AF_OK) return status;
  v->e5rt_async_event_get_last_signaled_value(body->event, &body->signaled);

  af_slot *slot = af_slot_lock(program, "af_submit");
  if (!slot) return af_error_status();
  body->block = af_block_make(v, slot, ++slot->serial);
  slot->done = slot->waiting = false;
  if (body->block) __atomic_store_n(&slot->flying, 1, __ATOMIC_RELEASE);
  pthread_mutex_unlock(&slot->mutex);
  if (!body->block) return af_keep(body, AF_FAIL(AF_E_MEMORY, "af_submit: _Block_copy gave nothing"));

  int64_t err = v->e5rt_execution_stream_submit_async(body->stream, body->block);
  if (!err) return AF_OK;
  status = af_vendor_failed(v, AF_E_EXECUTE, "submit", "e5rt_execution_stream_submit_async", err);
  pthread_mutex_lock(&slot->mutex);
  slot->serial++; /* a completion that comes all the same is ignored */
  __atomic_store_n(&slot->flying, 0, __ATOMIC_RELEASE);
  pthread_mutex_unlock(&slot->mutex);
  v->block_release(body->block);
  body->block = NULL;
  return af_keep(body, status);
}

void af_block_signal(af_slot *slot, uint64_t serial) {
  pthread_mutex_lock(&slot->mutex);
  if (slot->serial == serial) {
    slot->done = true;
    pthread_cond_broadcast(&slot->changed);
  }
  pthread_mutex_unlock(&slot->mutex);
}

/* Ends the flight of a locked slot. First the event: it says that the device is done. Then the block: until it was called,
 * the vendor still owes us the call. A failed wait on the event may mean that the call never comes, so it is not awaited. */
static af_status land(af_slot *slot) {
  af_body *body = slot->body;
  const af_vendor *v = body->vendor;
  slot->waiting = true;
  pthread_mutex_unlock(&slot->mutex);
  int64_t err = v->e5rt_async_event_sync_wait(body->event);
  af_status status = err ? af_vendor_failed(v, AF_E_EXECUTE, "wait", "e5rt_async_event_sync_wait", err) : AF_OK;
  pthread_mutex_lock(&slot->mutex);
  while (!err && !slot->done) pthread_cond_wait(&slot->changed, &slot->mutex);
  v->e5rt_async_event_get_last_signaled_value(body->event, &body->signaled);
  v->block_release(body->block);
  body->block = NULL;
  if (status != AF_OK) af_keep(body, status);
  slot->serial++;
  slot->waiting = false;
  __atomic_store_n(&slot->flying, 0, __ATOMIC_RELEASE);
  pthread_cond_broadcast(&slot->changed);
  return status;
}

af_status af_wait(af_program *program) {
  af_slot *slot = af_slot_lock(program, "af_wait");
  if (!slot) return af_error_status();
  af_status status;
  if (!slot->flying)
    status = AF_FAIL(AF_E_STATE, "af_wait: nothing was submitted");
  else if (slot->waiting)
    status = AF_FAIL(AF_E_STATE, "af_wait: another thread already waits");
  else
    status = land(slot);
  if (status == AF_E_STATE) af_keep(slot->body, status);
  pthread_mutex_unlock(&slot->mutex);
  return status;
}

void af_flight_end(af_slot *slot) {
  pthread_mutex_lock(&slot->mutex);
  while (slot->flying && slot->waiting) pthread_cond_wait(&slot->changed, &slot->mutex);
  if (slot->flying) land(slot);
  pthread_mutex_unlock(&slot->mutex);
}

uint32_t af_busy(af_program *program) {
  af_slot *slot = af_slot_find(program, "af_busy");
  return slot && __atomic_load_n(&slot->flying, __ATOMIC_ACQUIRE);
}

uint64_t af_signaled_value(af_program *program) {
  af_slot *slot = af_slot_lock(program, "af_signaled_value");
  if (!slot) return 0;
  uint64_t value = slot->body->signaled;
  pthread_mutex_unlock(&slot->mutex);
  return value;
}

uint64_t af_program_error(af_program *program, char *text, uint64_t size) {
  if (text && size) *text = 0;
  af_slot *slot = af_slot_lock(program, "af_program_error");
  if (!slot) return 0;
  size_t length = strlen(slot->body->error);
  if (text && size) {
    size_t n = length < size ? length : size - 1;
    memcpy(text, slot->body->error, n);
    text[n] = 0;
  }
  pthread_mutex_unlock(&slot->mutex);
  return length;
}
