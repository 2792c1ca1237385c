/* recorder.c - a provider that only writes down how it is called. Built as a shared library; order_test.c opens it as
 * provider "host". Each call is one line, "e5rt_name(arguments) -> result"; handles are called by type and number. */
#include "e5rt.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

E5RT_SYMBOLS(E5RT_DECLARE)

enum { LOG_SIZE = 1 << 18, N_THINGS = 4096, MEMORY = 1 << 16 };
enum { FAIL_CODE = 1, FAIL_NULL = 2 };                                          /* how the chosen call fails */
enum { BLOCK_IN_WAIT = 0, BLOCK_IN_SUBMIT = 1, BLOCK_NEVER = 2, BLOCK_LATER = 3 }; /* when the block is called */

typedef struct {
  char name[24];
  int alive;
} thing;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char text[LOG_SIZE];
static size_t used;
static thing things[N_THINGS];
static int n_things, n_calls, fail_call, fail_how, block_when;
static uint64_t signaled;
static void *pending_block;
static void *stale_block; /* own copy of a block that was not called in its flight */
static pthread_t late;
static int has_late;
static _Alignas(64) unsigned char memory[64][MEMORY / 64];
static int n_buffers;
static const char *reason = "";

/* -- control -------------------------------------------------------------------------------------------------------------- */

/* Forgets the log; call number `call` (from 1, 0 = none) fails in the given way. */
E5RT_EXPORT void recorder_reset(int call, int how, int when) {
  if (has_late) pthread_join(late, NULL);
  has_late = 0;
  pthread_mutex_lock(&mutex);
  used = 0;
  text[0] = 0;
  n_things = n_calls = n_buffers = 0;
  fail_call = call;
  fail_how = how;
  block_when = when;
  signaled = 0;
  pending_block = NULL;
  free(stale_block);
  stale_block = NULL;
  reason = "";
  memset(memory, 0xA5, sizeof memory);
  pthread_mutex_unlock(&mutex);
}

/* The calls so far go out of the log; numbering of calls starts again. */
E5RT_EXPORT void recorder_clear(int call, int how) {
  pthread_mutex_lock(&mutex);
  used = 0;
  text[0] = 0;
  n_calls = 0;
  fail_call = call;
  fail_how = how;
  pthread_mutex_unlock(&mutex);
}

/* From now on blocks are called at another time. */
E5RT_EXPORT void recorder_block_when(int when) { block_when = when; }

E5RT_EXPORT const char *recorder_log(void) { return text; }

E5RT_EXPORT int recorder_alive(void) {
  int n = 0;
  for (int i = 0; i < n_things; i++) n += things[i].alive;
  return n;
}

E5RT_EXPORT const char *aneforge_host_error_text(void) { return reason; }

/* -- log ------------------------------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(text + used, LOG_SIZE - used, format, arguments);
  va_end(arguments);
  if (n > 0 && used + (size_t)n < LOG_SIZE) used += (size_t)n;
}

static const char *name(const void *handle) {
  if (!handle) return "NULL";
  if ((const thing *)handle < things || (const thing *)handle >= things + n_things) return "unknown";
  return ((const thing *)handle)->alive ? ((const thing *)handle)->name : "DEAD";
}

static thing *make(const char *kind) {
  int number = 1;
  for (int i = 0; i < n_things; i++) number += strncmp(things[i].name, kind, strlen(kind)) == 0 &&
                                               things[i].name[strlen(kind)] >= '0' && things[i].name[strlen(kind)] <= '9';
  thing *t = &things[n_things++ % N_THINGS];
  snprintf(t->name, sizeof t->name, "%s%d", kind, number);
  t->alive = 1;
  return t;
}

/* Writes the call. 0 = it shall work, else how it fails. */
static int enter(const char *function, const char *format, va_list arguments) {
  char line[512];
  vsnprintf(line, sizeof line, format, arguments);
  say("%s(%s)", function, line);
  reason = ++n_calls == fail_call ? "as ordered" : "";
  return n_calls == fail_call ? fail_how : 0;
}

__attribute__((format(printf, 4, 5))) static e5rt_error_code_t create(const char *function, const char *kind, void **out,
                                                                      const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  pthread_mutex_lock(&mutex);
  int fail = enter(function, format, arguments);
  if (!fail) *out = make(kind);
  if (fail == FAIL_NULL) *out = NULL;
  say(fail == FAIL_CODE ? " = 42\n" : " -> %s\n", fail == FAIL_CODE ? "" : name(*out));
  pthread_mutex_unlock(&mutex);
  va_end(arguments);
  return fail == FAIL_CODE ? 42 : 0;
}

__attribute__((format(printf, 2, 3))) static e5rt_error_code_t call(const char *function, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  pthread_mutex_lock(&mutex);
  int fail = enter(function, format, arguments);
  say(fail ? " = 42\n" : "\n");
  pthread_mutex_unlock(&mutex);
  va_end(arguments);
  return fail ? 42 : 0;
}

static e5rt_error_code_t release(const char *function, void **object) {
  e5rt_error_code_t err = call(function, "%s", name(*object));
  if (strcmp(name(*object), "unknown") != 0) ((thing *)*object)->alive = 0;
  return err;
}

/* -- e5rt ------------------------------------------------------------------------------------------------------------------ */

#define CREATE(function, kind, parameters, out, ...) \
  e5rt_error_code_t function parameters { return create(#function, kind, out, __VA_ARGS__); }
#define CALL(function, parameters, ...) \
  e5rt_error_code_t function parameters { return call(#function, __VA_ARGS__); }
#define RELEASE(function) \
  e5rt_error_code_t function(void **obj) { return release(#function, obj); }

CREATE(e5rt_e5_compiler_config_options_create, "config", (void **out), out, "%s", "")
RELEASE(e5rt_e5_compiler_config_options_release)
CALL(e5rt_e5_compiler_config_options_set_cache_bundle_location, (void *obj, const char *path), "%s, \"%s\"", name(obj), path)
CALL(e5rt_e5_compiler_config_options_set_bundle_cache_apfs_purgeable, (void *obj, int value), "%s, %d", name(obj), value)
CREATE(e5rt_e5_compiler_create, "compiler", (void **out), out, "%s", "")
CREATE(e5rt_e5_compiler_create_with_config, "compiler", (void **out, void *config), out, "%s", name(config))
RELEASE(e5rt_e5_compiler_release)
CREATE(e5rt_e5_compiler_compile, "library", (void *compiler, const char *path, void *options, void **out), out,
       "%s, \"%s\", %s", name(compiler), path, name(options))
CREATE(e5rt_e5_compiler_options_create, "options", (void **out), out, "%s", "")
RELEASE(e5rt_e5_compiler_options_release)
CALL(e5rt_e5_compiler_options_set_compute_device_types_mask, (void *obj, uint64_t mask), "%s, %llu", name(obj),
     (unsigned long long)mask)
CALL(e5rt_e5_compiler_options_get_compute_device_types_mask, (void *obj, uint64_t *out), "%s, %d", name(obj), out != NULL)
CALL(e5rt_e5_compiler_options_set_force_recompilation, (void *obj, int value), "%s, %d", name(obj), value)
CALL(e5rt_e5_compiler_options_set_segmenter, (void *obj, const char *value), "%s, \"%s\"", name(obj), value)
CALL(e5rt_e5_compiler_options_set_force_bnns_graph, (void *obj, int value), "%s, %d", name(obj), value)
CALL(e5rt_e5_compiler_options_set_custom_ane_compiler_options, (void *obj, const char *value), "%s, \"%s\"", name(obj), value)
CALL(e5rt_e5_compiler_options_set_enable_profiling, (void *obj, int value), "%s, %d", name(obj), value)
CREATE(e5rt_program_library_create, "library", (void **out, const char *path), out, "\"%s\"", path)
RELEASE(e5rt_program_library_release)
CREATE(e5rt_program_library_retain_program_function, "function", (void *library, const char *function, void **out), out,
       "%s, \"%s\"", name(library), function)
CALL(e5rt_program_library_get_num_functions, (void *library, uint64_t *out), "%s, %d", name(library), out != NULL)
CALL(e5rt_program_library_get_function_names, (void *library, uint64_t count, const char **names), "%s, %llu, %d",
     name(library), (unsigned long long)count, names != NULL)
RELEASE(e5rt_program_function_release)
CALL(e5rt_program_function_get_name, (void *function, const char **out), "%s, %d", name(function), out != NULL)
CALL(e5rt_program_function_load_for_execution, (void *function), "%s", name(function))
CREATE(e5rt_precompiled_compute_op_create_options_create_with_program_function, "op_options", (void **out, void *function),
       out, "%s", name(function))
RELEASE(e5rt_precompiled_compute_op_create_options_release)
CALL(e5rt_precompiled_compute_op_create_options_set_operation_name, (void *obj, const char *value), "%s, \"%s\"", name(obj), value)
CALL(e5rt_precompiled_compute_op_create_options_set_allocate_intermediate_buffers, (void *obj, int value), "%s, %d", name(obj),
     value)
CREATE(e5rt_execution_stream_operation_create_precompiled_compute_operation_with_options, "operation",
       (void **out, void *options), out, "%s", name(options))
RELEASE(e5rt_execution_stream_operation_release)
CREATE(e5rt_execution_stream_operation_retain_input_port, "port", (void *operation, const char *port, void **out), out,
       "%s, \"%s\"", name(operation), port)
CREATE(e5rt_execution_stream_operation_retain_output_port, "port", (void *operation, const char *port, void **out), out,
       "%s, \"%s\"", name(operation), port)
CALL(e5rt_execution_stream_operation_prepare_op_for_encode, (void *operation), "%s", name(operation))
CALL(e5rt_execution_stream_operation_bind_completion_event, (void *operation, void *event), "%s, %s", name(operation), name(event))
CALL(e5rt_execution_stream_operation_bind_dependent_events, (void *operation, void **events, uint64_t count), "%s, %s, %llu",
     name(operation), name(events[0]), (unsigned long long)count)
RELEASE(e5rt_io_port_release)
CALL(e5rt_io_port_bind_buffer_object, (void *port, void *buffer), "%s, %s", name(port), name(buffer))
CREATE(e5rt_buffer_object_alloc, "buffer", (void **out, uint64_t size, uint32_t type), out, "%llu, %u",
       (unsigned long long)size, type)
RELEASE(e5rt_buffer_object_release)
CALL(e5rt_buffer_object_get_size, (void *buffer, uint64_t *out), "%s, %d", name(buffer), out != NULL)
CREATE(e5rt_execution_stream_create, "stream", (void **out), out, "%s", "")
RELEASE(e5rt_execution_stream_release)
CALL(e5rt_execution_stream_encode_operation, (void *stream, void *operation), "%s, %s", name(stream), name(operation))
CALL(e5rt_execution_stream_execute_sync, (void *stream), "%s", name(stream))
CALL(e5rt_execution_stream_async_submit, (void *stream), "%s", name(stream))
CALL(e5rt_execution_stream_reset, (void *stream), "%s", name(stream))
CALL(e5rt_execution_stream_set_quality_of_service, (void *stream, uint64_t qos), "%s, %llu", name(stream), (unsigned long long)qos)
CALL(e5rt_execution_stream_set_ane_execution_priority, (void *stream, uint64_t priority), "%s, %llu", name(stream),
     (unsigned long long)priority)
CREATE(e5rt_async_event_create, "event", (void **out, const char *event, uint32_t value), out, "\"%s\", %u", event, value)
RELEASE(e5rt_async_event_release)
CALL(e5rt_async_event_set_active_future_value, (void *event, uint64_t value), "%s, %llu", name(event), (unsigned long long)value)
CALL(e5rt_async_event_signal, (void *event), "%s", name(event))

/* The memory handed out is full of 0xA5. */
e5rt_error_code_t e5rt_buffer_object_get_data_ptr(void *buffer, void **out) {
  e5rt_error_code_t err = call(__func__, "%s", name(buffer));
  int null = err && fail_how == FAIL_NULL;
  if (null) *out = NULL;
  if (!err) *out = memory[n_buffers++ % 64];
  return null ? 0 : err;
}

/* -- blocks ---------------------------------------------------------------------------------------------------------------- */

typedef struct {
  void *isa;
  int flags, reserved;
  e5rt_error_code_t (*invoke)(void *block);
  struct {
    unsigned long reserved, size;
    const char *signature;
  } *descriptor;
} block_head;

extern E5RT_EXPORT void *_NSConcreteStackBlock[32];
E5RT_EXPORT void *_Block_copy(const void *block);
E5RT_EXPORT void _Block_release(const void *block);

void *_NSConcreteStackBlock[32];
static const void *copies[64];
static int n_copies;

void *_Block_copy(const void *block) {
  const block_head *head = block;
  call("_Block_copy", "%s, flags %#x, %s", head->isa == _NSConcreteStackBlock ? "stack" : "OTHER", (unsigned)head->flags,
       head->descriptor->signature);
  void *copy = malloc(head->descriptor->size);
  if (!copy) return NULL;
  memcpy(copy, block, head->descriptor->size);
  copies[n_copies++ % 64] = copy;
  return copy;
}

void _Block_release(const void *block) {
  call("_Block_release", "%s", n_copies && block == copies[(n_copies - 1) % 64] ? "heap" : "OTHER");
  free((void *)block);
}

static void invoke(void *block) {
  call("block", "%s", "");
  if (((block_head *)block)->invoke(block)) call("block", "%s", "gave a failure");
}

static void *invoke_late(void *block) {
  usleep(50000);
  invoke(block);
  return NULL;
}

e5rt_error_code_t e5rt_execution_stream_submit_async(void *stream, void *block) {
  e5rt_error_code_t err = call(__func__, "%s, %s", name(stream), block == copies[(n_copies - 1) % 64] ? "heap" : "OTHER");
  if (err) return err;
  pending_block = block;
  if (block_when == BLOCK_NEVER && (stale_block = malloc(((block_head *)block)->descriptor->size)))
    memcpy(stale_block, block, ((block_head *)block)->descriptor->size);
  if (block_when == BLOCK_IN_SUBMIT) invoke(block);
  return 0;
}

e5rt_error_code_t e5rt_async_event_sync_wait(void *event) {
  e5rt_error_code_t err = call(__func__, "%s", name(event));
  signaled++;
  if (block_when == BLOCK_IN_WAIT && !err) invoke(pending_block);
  if (block_when == BLOCK_LATER && stale_block) invoke(stale_block);
  if (block_when == BLOCK_LATER) has_late = !pthread_create(&late, NULL, invoke_late, pending_block);
  return err;
}

e5rt_error_code_t e5rt_async_event_get_last_signaled_value(void *event, uint64_t *out) {
  e5rt_error_code_t err = call(__func__, "%s", name(event));
  if (!err) *out = signaled;
  return err;
}
