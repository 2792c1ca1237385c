/* e5rt_operation.c - e5rt: operation options, operations, ports, buffers. */
#include <stdlib.h>
#include <string.h>

#include "e5rt_objects.h"

E5RT_SYMBOLS(E5RT_DECLARE)

static atomic_uint loaded; /* operations alive, at most LOADED_PROGRAMS */

void op_options_destroy(void *object) { object_drop(((op_options *)object)->library); }

void operation_destroy(void *object) {
  operation *op = object;
  for (size_t i = 0; i < op->n_inputs + op->n_outputs; i++) object_drop(op->buffers[i]);
  for (uint64_t i = 0; i < op->n_dependent; i++) object_drop(op->dependent[i]);
  object_drop(op->completion);
  object_drop(op->library);
  free(op->dependent);
  free(op->buffers);
  free(op->data);
  atomic_fetch_sub(&loaded, 1);
}

void port_destroy(void *object) { object_drop(((port *)object)->operation); }

void buffer_destroy(void *object) { free(((buffer *)object)->data); }

/* -- operation options --------------------------------------------------------------------------------------------------- */

e5rt_error_code_t e5rt_precompiled_compute_op_create_options_create_with_program_function(void **out_options, void *handle) {
  if (check_out(out_options, __func__)) return host_error_code();
  function *f = handle_get(handle, TYPE_FUNCTION, __func__);
  if (!f) return host_error_code();
  op_options *o = object_new(TYPE_OP_OPTIONS, sizeof *o, __func__);
  if (!o) return host_error_code();
  o->library = object_retain(f->library);
  return handle_give(o, out_options, __func__);
}

e5rt_error_code_t e5rt_precompiled_compute_op_create_options_release(void **obj) {
  return handle_release(obj, TYPE_OP_OPTIONS, __func__);
}

e5rt_error_code_t e5rt_precompiled_compute_op_create_options_set_operation_name(void *obj, const char *name) {
  if (!handle_get(obj, TYPE_OP_OPTIONS, __func__)) return host_error_code();
  return check_pointer(name, "operation name", __func__);
}

/* The engine always owns its intermediate memory. */
e5rt_error_code_t e5rt_precompiled_compute_op_create_options_set_allocate_intermediate_buffers(void *obj, int value) {
  if (!handle_get(obj, TYPE_OP_OPTIONS, __func__)) return host_error_code();
  if (value != 0 && value != 1) return host_refuse(RULE_VALUE, __func__, "%d is neither 0 nor 1", value);
  return HOST_OK;
}

/* -- operation ----------------------------------------------------------------------------------------------------------- */

e5rt_error_code_t library_check_loadable(library *l, const char *call) {
  if (engine_loadable(l->program)) return HOST_OK;
  return host_fail(HOST_E_LOAD, call, "the program was compiled for a target this process does not stand in for");
}

e5rt_error_code_t e5rt_execution_stream_operation_create_precompiled_compute_operation_with_options(void **out_operation,
                                                                                                    void *handle) {
  if (check_out(out_operation, __func__)) return host_error_code();
  op_options *o = handle_get(handle, TYPE_OP_OPTIONS, __func__);
  if (!o || library_check_loadable(o->library, __func__)) return host_error_code();
  operation *op = object_new(TYPE_OPERATION, sizeof *op, __func__);
  if (!op) return host_error_code();
  unsigned before = atomic_fetch_add(&loaded, 1); /* operation_destroy() takes it back */
  op->library = object_retain(o->library);
  size_t n_inputs = engine_input_count(o->library->program), n_outputs = engine_output_count(o->library->program);
  op->buffers = calloc(n_inputs + n_outputs, sizeof *op->buffers);
  op->data = calloc(n_inputs + n_outputs, sizeof *op->data);
  if (before >= LOADED_PROGRAMS)
    host_fail(HOST_E_LOAD, __func__, "program cap: %d programs are loaded in this process, release one", LOADED_PROGRAMS);
  else if (!op->buffers || !op->data)
    host_fail(HOST_E_MEMORY, __func__, "out of memory for %zu ports", n_inputs + n_outputs);
  else {
    op->n_inputs = n_inputs;
    op->n_outputs = n_outputs;
    return handle_give(op, out_operation, __func__);
  }
  object_drop(op);
  return host_error_code();
}

e5rt_error_code_t e5rt_execution_stream_operation_release(void **obj) {
  operation *op = handle_get_for_release(obj, TYPE_OPERATION, __func__);
  if (!op) return host_error_code();
  if (op->state == OP_ENCODED) return host_refuse(RULE_OPERATION_IN_USE, __func__, "its stream is alive");
  handle_end(*obj);
  return HOST_OK;
}

static e5rt_error_code_t retain_port(operation *op, const char *name, bool output, void **out, const char *call) {
  if (check_pointer(name, "port name", call) || check_out(out, call)) return host_error_code();
  size_t count = output ? op->n_outputs : op->n_inputs, i = 0;
  const engine_program *program = op->library->program;
  while (i < count && strcmp((output ? engine_output(program, i) : engine_input(program, i))->name, name) != 0) i++;
  if (i == count)
    return host_fail(HOST_E_ARGUMENT, call, "the program has no %s \"%.256s\" (it has %zu)", output ? "output" : "input", name,
                     count);
  port *p = object_new(TYPE_PORT, sizeof *p, call);
  if (!p) return host_error_code();
  p->operation = object_retain(op);
  p->index = output ? op->n_inputs + i : i;
  return handle_give(p, out, call);
}

e5rt_error_code_t e5rt_execution_stream_operation_retain_input_port(void *handle, const char *name, void **out_port) {
  operation *op = handle_get(handle, TYPE_OPERATION, __func__);
  return op ? retain_port(op, name, false, out_port, __func__) : host_error_code();
}

e5rt_error_code_t e5rt_execution_stream_operation_retain_output_port(void *handle, const char *name, void **out_port) {
  operation *op = handle_get(handle, TYPE_OPERATION, __func__);
  return op ? retain_port(op, name, true, out_port, __func__) : host_error_code();
}

e5rt_error_code_t e5rt_execution_stream_operation_prepare_op_for_encode(void *handle) {
  operation *op = handle_get(handle, TYPE_OPERATION, __func__);
  if (!op) return host_error_code();
  if (op->state == OP_FRESH)
    return host_refuse(RULE_PREPARE_NEVER_ENCODED, __func__,
                       "Op has not been encoded and hence cannot be reset to 'ReadyForEncode'");
  if (op->state == OP_ENCODED) return host_refuse(RULE_PREPARE_BEFORE_RESET, __func__, "the operation is encoded");
  op->state = OP_PREPARED;
  return HOST_OK;
}

e5rt_error_code_t e5rt_execution_stream_operation_bind_completion_event(void *handle, void *event_handle) {
  operation *op = handle_get(handle, TYPE_OPERATION, __func__);
  event *e = op ? handle_get(event_handle, TYPE_EVENT, __func__) : NULL;
  if (!e) return host_error_code();
  if (op->state != OP_FRESH) return host_refuse(RULE_EVENT_AFTER_ENCODE, __func__, "event %s", e->name);
  object_retain(e);
  object_drop(op->completion);
  op->completion = e;
  return HOST_OK;
}

/* Operations run one after the other in encode order, so what they depend on has always run; the events are only kept. */
e5rt_error_code_t e5rt_execution_stream_operation_bind_dependent_events(void *handle, void **events, uint64_t count) {
  operation *op = handle_get(handle, TYPE_OPERATION, __func__);
  if (!op) return host_error_code();
  if (op->state != OP_FRESH) return host_refuse(RULE_EVENT_AFTER_ENCODE, __func__, "dependent events");
  if (count == 0 || count > 65536)
    return host_fail(HOST_E_ARGUMENT, __func__, "%llu events", (unsigned long long)count);
  if (check_pointer(events, "event list", __func__)) return host_error_code();
  for (uint64_t i = 0; i < count; i++)
    if (!handle_get(events[i], TYPE_EVENT, __func__)) return host_error_code();
  event **list = calloc(count, sizeof *list);
  if (!list) return host_fail(HOST_E_MEMORY, __func__, "out of memory");
  for (uint64_t i = 0; i < count; i++) list[i] = object_retain(handle_get(events[i], TYPE_EVENT, __func__));
  for (uint64_t i = 0; i < op->n_dependent; i++) object_drop(op->dependent[i]);
  free(op->dependent);
  op->dependent = list;
  op->n_dependent = count;
  return HOST_OK;
}

static const engine_port *port_info(const operation *op, size_t i) {
  return i < op->n_inputs ? engine_input(op->library->program, i) : engine_output(op->library->program, i - op->n_inputs);
}

e5rt_error_code_t operation_bind_memory(operation *op, const char *call) {
  for (size_t i = 0; i < op->n_inputs + op->n_outputs; i++) {
    const engine_port *info = port_info(op, i);
    uint64_t need = (info->bytes + 63) & ~(uint64_t)63;
    if (!op->buffers[i])
      return host_refuse(RULE_PORT_UNBOUND, call, "%s %s has no buffer", i < op->n_inputs ? "input" : "output", info->name);
    if (op->buffers[i]->size < need)
      return host_refuse(RULE_BUFFER_SMALL, call, "port %s needs %llu bytes, its buffer has %llu", info->name,
                         (unsigned long long)need, (unsigned long long)op->buffers[i]->size);
    op->data[i] = op->buffers[i]->data;
  }
  return HOST_OK;
}

void operation_mark_encoded(operation *op, int change) {
  for (size_t i = 0; i < op->n_inputs + op->n_outputs; i++) atomic_fetch_add(&op->buffers[i]->encoded, (unsigned)change);
  if (op->completion) atomic_fetch_add(&op->completion->encoded, (unsigned)change);
}

int operation_run(operation *op, char *error, size_t error_size) {
  pthread_mutex_lock(&op->library->mutex);
  int failed = engine_execute(op->library->program, op->data, op->data + op->n_inputs, error, error_size);
  pthread_mutex_unlock(&op->library->mutex);
  return failed;
}

/* -- port and buffer ----------------------------------------------------------------------------------------------------- */

e5rt_error_code_t e5rt_io_port_release(void **obj) { return handle_release(obj, TYPE_PORT, __func__); }

e5rt_error_code_t e5rt_io_port_bind_buffer_object(void *handle, void *buffer_handle) {
  port *p = handle_get(handle, TYPE_PORT, __func__);
  buffer *b = p ? handle_get(buffer_handle, TYPE_BUFFER, __func__) : NULL;
  if (!b) return host_error_code();
  operation *op = p->operation;
  if (op->state != OP_FRESH) return host_refuse(RULE_BIND_AFTER_ENCODE, __func__, "port %s", port_info(op, p->index)->name);
  object_retain(b);
  object_drop(op->buffers[p->index]);
  op->buffers[p->index] = b;
  return HOST_OK;
}

/* Types: 0 CPU pointer, 1 ANE-mapped, 2 IOSurface-backed; all are ordinary memory here. New memory is zero; in strict mode it
 * is 0xA5, so that whoever relies on zeros is found. */
e5rt_error_code_t e5rt_buffer_object_alloc(void **out_buffer, uint64_t size, uint32_t type) {
  if (check_out(out_buffer, __func__)) return host_error_code();
  if (type >= 3) return host_fail(HOST_E_ARGUMENT, __func__, "Invalid BufferType @ AllocMemory: %u", type);
  if (size == 0) return host_fail(HOST_E_ARGUMENT, __func__, "a buffer of 0 bytes");
  buffer *b = object_new(TYPE_BUFFER, sizeof *b, __func__);
  if (!b) return host_error_code();
  if (size > SIZE_MAX / 2 || posix_memalign(&b->data, 64, size)) {
    b->data = NULL;
    object_drop(b);
    return host_fail(HOST_E_MEMORY, __func__, "out of memory for %llu bytes", (unsigned long long)size);
  }
  b->size = size;
  b->type = type;
  memset(b->data, host_strict() ? 0xA5 : 0, size);
  return handle_give(b, out_buffer, __func__);
}

e5rt_error_code_t e5rt_buffer_object_release(void **obj) {
  buffer *b = handle_get_for_release(obj, TYPE_BUFFER, __func__);
  if (!b) return host_error_code();
  unsigned users = atomic_load(&b->encoded);
  if (users) return host_refuse(RULE_BUFFER_IN_USE, __func__, "%u encoded ports use it", users);
  handle_end(*obj);
  return HOST_OK;
}

e5rt_error_code_t e5rt_buffer_object_get_data_ptr(void *handle, void **out) {
  buffer *b = handle_get(handle, TYPE_BUFFER, __func__);
  if (!b || check_out(out, __func__)) return host_error_code();
  *out = b->data;
  return HOST_OK;
}

e5rt_error_code_t e5rt_buffer_object_get_size(void *handle, uint64_t *out) {
  buffer *b = handle_get(handle, TYPE_BUFFER, __func__);
  if (!b || check_pointer(out, "result variable", __func__)) return host_error_code();
  *out = b->size;
  return HOST_OK;
}
