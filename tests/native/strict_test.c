/* strict_test.c - one planted misuse of the e5rt front per test, each run twice in a child: with ANEFORGE_HOST_STRICT=1 it
 * has to end in SIGABRT with the id of its rule, without it in an error code. The parent never calls the library: the
 * variable is read once per process. */
#include "test.h"

#include "e5rt.h"
#include <pthread.h>

#include "block_runtime.h"
#include "strict.h"

E5RT_SYMBOLS(E5RT_DECLARE)

static char model_path[96], cache_path[64];
static const char model[] =
    "program(1.3)\n"
    "[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3520.4.1\"}, {\"coremlc-version\", \"3520.5.1\"}})]\n"
    "{\n"
    "    func main<ios18>(tensor<fp16, [1, 64]> x) {\n"
    "        tensor<fp16, [1, 64]> y = add(x = x, y = fp16(0x1p+0))[name = string(\"y\")];\n"
    "    } -> (y);\n"
    "}\n";

/* -- a correct program, up to the point where a test goes wrong ------------------------------------------------------------ */

typedef struct {
  void *config, *compiler, *options, *library, *function, *op_options, *operation;
  void *in_port, *out_port, *in, *out, *event, *stream;
} parts;

/* A step of the correct sequence; the rules are only tested by what comes after it. */
static void must(e5rt_error_code_t err, const char *what) {
  if (!err) return;
  fprintf(stderr, "set-up failed: %s: %s\n", what, aneforge_host_error_text());
  _exit(9);
}
#define MUST(call) must(call, #call)

static void load(parts *p) {
  memset(p, 0, sizeof *p);
  MUST(e5rt_e5_compiler_config_options_create(&p->config));
  MUST(e5rt_e5_compiler_config_options_set_cache_bundle_location(p->config, cache_path));
  MUST(e5rt_e5_compiler_create_with_config(&p->compiler, p->config));
  MUST(e5rt_e5_compiler_options_create(&p->options));
  MUST(e5rt_e5_compiler_options_set_compute_device_types_mask(p->options, 4));
  MUST(e5rt_e5_compiler_options_set_force_recompilation(p->options, 1));
  MUST(e5rt_e5_compiler_options_set_segmenter(p->options, "graph"));
  MUST(e5rt_e5_compiler_compile(p->compiler, model_path, p->options, &p->library));
  MUST(e5rt_program_library_retain_program_function(p->library, "main", &p->function));
  MUST(e5rt_precompiled_compute_op_create_options_create_with_program_function(&p->op_options, p->function));
  MUST(e5rt_precompiled_compute_op_create_options_set_operation_name(p->op_options, "main"));
  MUST(e5rt_precompiled_compute_op_create_options_set_allocate_intermediate_buffers(p->op_options, 1));
  MUST(e5rt_execution_stream_operation_create_precompiled_compute_operation_with_options(&p->operation, p->op_options));
  MUST(e5rt_execution_stream_operation_retain_input_port(p->operation, "x", &p->in_port));
  MUST(e5rt_execution_stream_operation_retain_output_port(p->operation, "y", &p->out_port));
  MUST(e5rt_buffer_object_alloc(&p->in, 128, 0));
  MUST(e5rt_buffer_object_alloc(&p->out, 128, 0));
  MUST(e5rt_async_event_create(&p->event, "op0_complete", 0));
  MUST(e5rt_execution_stream_create(&p->stream));
}

static void bind(parts *p) {
  void *data;
  load(p);
  MUST(e5rt_io_port_bind_buffer_object(p->in_port, p->in));
  MUST(e5rt_io_port_bind_buffer_object(p->out_port, p->out));
  MUST(e5rt_buffer_object_get_data_ptr(p->in, &data));
  memset(data, 0, 128);
  MUST(e5rt_execution_stream_operation_bind_completion_event(p->operation, p->event));
}

static void encode(parts *p) {
  bind(p);
  MUST(e5rt_execution_stream_encode_operation(p->stream, p->operation));
}

static void release(parts *p) {
  MUST(e5rt_execution_stream_release(&p->stream));
  MUST(e5rt_buffer_object_release(&p->in));
  MUST(e5rt_io_port_release(&p->in_port));
  MUST(e5rt_buffer_object_release(&p->out));
  MUST(e5rt_io_port_release(&p->out_port));
  MUST(e5rt_async_event_release(&p->event));
  MUST(e5rt_execution_stream_operation_release(&p->operation));
  MUST(e5rt_precompiled_compute_op_create_options_release(&p->op_options));
  MUST(e5rt_program_function_release(&p->function));
  MUST(e5rt_program_library_release(&p->library));
  MUST(e5rt_e5_compiler_options_release(&p->options));
  MUST(e5rt_e5_compiler_release(&p->compiler));
  MUST(e5rt_e5_compiler_config_options_release(&p->config));
}

/* -- blocks ----------------------------------------------------------------------------------------------------------------- */

struct descriptor {
  unsigned long reserved, size;
  const char *signature;
};
typedef struct block block;
struct block {
  void *isa;
  int flags, reserved;
  e5rt_error_code_t (*invoke)(block *self);
  const struct descriptor *descriptor;
  parts *parts;
  e5rt_error_code_t result;
};

static e5rt_error_code_t quiet(block *self) { return self->result; }
static const struct descriptor good_descriptor = {0, sizeof(block), "q8@?0"};
static block stack_block(void) {
  return (block){_NSConcreteStackBlock, 1 << 30, 0, quiet, &good_descriptor, NULL, 0};
}

/* -- the harness ------------------------------------------------------------------------------------------------------------ */

static e5rt_error_code_t (*misuse)(void);
static int with_strict;

static void child(void) {
  if (with_strict) setenv("ANEFORGE_HOST_STRICT", "1", 1);
  else unsetenv("ANEFORGE_HOST_STRICT");
  e5rt_error_code_t err = misuse();
  fprintf(stderr, "returned %lld: %s\n", (long long)err, aneforge_host_error_text());
}

static void check_misuse(e5rt_error_code_t (*function)(void), const char *rule, enum host_error code) {
  char text[4096], wanted[128];
  misuse = function;
  with_strict = 1;
  int signal = test_child(child, text, sizeof text);
  snprintf(wanted, sizeof wanted, "aneforge host strict: %s: ", rule);
  CHECK(signal == SIGABRT && strstr(text, wanted), "signal %d, expected %s, got: %s", signal, rule, text);
  with_strict = 0;
  signal = test_child(child, text, sizeof text);
  snprintf(wanted, sizeof wanted, "returned %d: ", code);
  CHECK(signal == 0 && strstr(text, wanted), "signal %d, expected \"%s\", got: %s", signal, wanted, text);
}

#define MISUSE(name, rule, code) \
  static e5rt_error_code_t name##_body(void); \
  TEST(name) { check_misuse(name##_body, rule, code); } \
  static e5rt_error_code_t name##_body(void)

/* -- handles ---------------------------------------------------------------------------------------------------------------- */

MISUSE(null_handle, "null-argument", HOST_E_ARGUMENT) { return e5rt_execution_stream_execute_sync(NULL); }

MISUSE(null_result, "null-argument", HOST_E_ARGUMENT) { return e5rt_execution_stream_create(NULL); }

MISUSE(null_string, "null-argument", HOST_E_ARGUMENT) {
  parts p;
  load(&p);
  return e5rt_e5_compiler_compile(p.compiler, NULL, p.options, &p.library);
}

MISUSE(swapped_arguments, "handle-type", HOST_E_HANDLE) {
  parts p;
  load(&p);
  return e5rt_execution_stream_encode_operation(p.operation, p.stream);
}

MISUSE(handle_for_string, "handle-type", HOST_E_HANDLE) {
  parts p;
  load(&p);
  return e5rt_e5_compiler_compile(p.compiler, p.options, (void *)model_path, &p.library);
}

MISUSE(result_first_where_it_is_last, "handle-unknown", HOST_E_HANDLE) {
  parts p;
  void *port = NULL;
  load(&p);
  /* retain_input_port(&out, name, operation), as if it were a create */
  return e5rt_execution_stream_operation_retain_input_port(&port, "x", p.operation);
}

MISUSE(result_last_where_it_is_first, "handle-type", HOST_E_HANDLE) {
  parts p;
  void *options = NULL;
  load(&p);
  return e5rt_precompiled_compute_op_create_options_create_with_program_function(p.function, &options);
}

MISUSE(release_by_value, "handle-type", HOST_E_HANDLE) {
  parts p;
  load(&p);
  return e5rt_execution_stream_release(p.stream);
}

MISUSE(invented_pointer, "handle-unknown", HOST_E_HANDLE) {
  int local = 0;
  return e5rt_execution_stream_execute_sync(&local);
}

MISUSE(use_after_release, "handle-released", HOST_E_HANDLE) {
  parts p;
  load(&p);
  void *old = p.in;
  MUST(e5rt_buffer_object_release(&p.in));
  return e5rt_io_port_bind_buffer_object(p.in_port, old);
}

MISUSE(use_after_release_of_a_reused_slot, "handle-released", HOST_E_HANDLE) {
  parts p;
  load(&p);
  void *old = p.in;
  MUST(e5rt_buffer_object_release(&p.in));
  MUST(e5rt_buffer_object_alloc(&p.in, 128, 0));
  return e5rt_io_port_bind_buffer_object(p.in_port, old);
}

MISUSE(double_release, "handle-double-release", HOST_E_HANDLE) {
  parts p;
  load(&p);
  void *twice = p.in;
  MUST(e5rt_buffer_object_release(&p.in));
  return e5rt_buffer_object_release(&twice);
}

MISUSE(release_of_null, "null-argument", HOST_E_ARGUMENT) {
  void *nothing = NULL;
  return e5rt_buffer_object_release(&nothing);
}

static e5rt_error_code_t leave_a_buffer_and_a_stream(void) {
  void *buffer, *stream;
  MUST(e5rt_buffer_object_alloc(&buffer, 64, 0));
  MUST(e5rt_execution_stream_create(&stream));
  return 0;
}

TEST(leak_at_exit) {
  char text[4096];
  misuse = leave_a_buffer_and_a_stream;
  with_strict = 1;
  CHECK(test_child(child, text, sizeof text) == SIGABRT);
  CHECK(strstr(text, "aneforge host strict: leak-at-exit: 1 buffer, 1 stream ("), "%s", text);
}

static e5rt_error_code_t leave_a_block(void) {
  block b = stack_block();
  return _Block_copy(&b) ? 0 : 1;
}

TEST(block_leak_at_exit) {
  char text[4096];
  misuse = leave_a_block;
  with_strict = 1;
  CHECK(test_child(child, text, sizeof text) == SIGABRT);
  CHECK(strstr(text, "aneforge host strict: leak-at-exit: 1 block ("), "%s", text);
}

/* -- options ---------------------------------------------------------------------------------------------------------------- */

MISUSE(mask_zero, "option-value", HOST_E_ARGUMENT) {
  parts p;
  load(&p);
  return e5rt_e5_compiler_options_set_compute_device_types_mask(p.options, 0);
}

MISUSE(unknown_segmenter, "option-value", HOST_E_ARGUMENT) {
  parts p;
  load(&p);
  return e5rt_e5_compiler_options_set_segmenter(p.options, "Graph");
}

MISUSE(flag_out_of_range, "option-value", HOST_E_ARGUMENT) {
  parts p;
  load(&p);
  return e5rt_e5_compiler_options_set_force_recompilation(p.options, 2);
}

MISUSE(unknown_custom_option, "option-value", HOST_E_ARGUMENT) {
  parts p;
  load(&p);
  return e5rt_e5_compiler_options_set_custom_ane_compiler_options(p.options, "Target=h13");
}

/* -- events ----------------------------------------------------------------------------------------------------------------- */

MISUSE(event_without_a_name, "event-name-null", HOST_E_ARGUMENT) {
  void *event = NULL;
  return e5rt_async_event_create(&event, NULL, 0);
}

MISUSE(wait_for_nothing, "event-unsubmitted", HOST_E_STATE) {
  parts p;
  encode(&p);
  return e5rt_async_event_sync_wait(p.event);
}

MISUSE(future_in_the_past, "event-future-past", HOST_E_ARGUMENT) {
  void *event;
  MUST(e5rt_async_event_create(&event, "e", 7));
  return e5rt_async_event_set_active_future_value(event, 6);
}

MISUSE(event_released_while_encoded, "event-in-use", HOST_E_STATE) {
  parts p;
  encode(&p);
  return e5rt_async_event_release(&p.event);
}

MISUSE(completion_event_after_encode, "event-after-encode", HOST_E_STATE) {
  parts p;
  encode(&p);
  return e5rt_execution_stream_operation_bind_completion_event(p.operation, p.event);
}

MISUSE(dependent_event_after_encode, "event-after-encode", HOST_E_STATE) {
  parts p;
  encode(&p);
  return e5rt_execution_stream_operation_bind_dependent_events(p.operation, &p.event, 1);
}

/* -- blocks ----------------------------------------------------------------------------------------------------------------- */

MISUSE(null_block, "block-null", HOST_E_ARGUMENT) {
  parts p;
  encode(&p);
  return e5rt_execution_stream_submit_async(p.stream, NULL);
}

MISUSE(block_still_on_the_stack, "block-on-stack", HOST_E_ARGUMENT) {
  parts p;
  encode(&p);
  block b = stack_block();
  return e5rt_execution_stream_submit_async(p.stream, &b);
}

/* Submits a heap block whose literal was spoiled after the copy. */
static e5rt_error_code_t submit_spoiled(void (*spoil)(block *)) {
  parts p;
  encode(&p);
  block b = stack_block(), *copy = _Block_copy(&b);
  spoil(copy);
  return e5rt_execution_stream_submit_async(p.stream, copy);
}

static void spoil_isa(block *b) { b->isa = b; }
static void spoil_flags(block *b) { b->flags &= ~(1 << 30); }
static void spoil_invoke(block *b) { b->invoke = NULL; }
static void spoil_descriptor(block *b) { b->descriptor = NULL; }
static void spoil_size(block *b) {
  static const struct descriptor small = {0, 8, "q8@?0"};
  b->descriptor = &small;
}
static void spoil_signature(block *b) {
  static const struct descriptor returns_void = {0, sizeof(block), "v8@?0"};
  b->descriptor = &returns_void;
}

MISUSE(block_with_a_wrong_isa, "block-malformed", HOST_E_ARGUMENT) { return submit_spoiled(spoil_isa); }
MISUSE(block_without_signature_flag, "block-malformed", HOST_E_ARGUMENT) { return submit_spoiled(spoil_flags); }
MISUSE(block_without_function, "block-malformed", HOST_E_ARGUMENT) { return submit_spoiled(spoil_invoke); }
MISUSE(block_without_descriptor, "block-malformed", HOST_E_ARGUMENT) { return submit_spoiled(spoil_descriptor); }
MISUSE(block_with_a_wrong_size, "block-malformed", HOST_E_ARGUMENT) { return submit_spoiled(spoil_size); }
MISUSE(block_that_returns_void, "block-malformed", HOST_E_ARGUMENT) { return submit_spoiled(spoil_signature); }

MISUSE(function_pointer_for_a_block, "block-malformed", HOST_E_ARGUMENT) {
  static void *const words[8] = {0};
  parts p;
  encode(&p);
  return e5rt_execution_stream_submit_async(p.stream, (void *)words);
}

MISUSE(released_block, "block-released", HOST_E_HANDLE) {
  parts p;
  encode(&p);
  block b = stack_block(), *copy = _Block_copy(&b);
  _Block_release(copy);
  return e5rt_execution_stream_submit_async(p.stream, copy);
}

MISUSE(block_released_twice, "block-released", HOST_E_HANDLE) {
  block b = stack_block(), *copy = _Block_copy(&b);
  _Block_release(copy);
  _Block_release(copy);
  return host_error_code();
}

MISUSE(copy_of_no_block, "block-malformed", HOST_E_ARGUMENT) {
  static void *const words[8] = {0};
  return _Block_copy(words) ? 0 : host_error_code();
}

/* -- ports and buffers ------------------------------------------------------------------------------------------------------ */

MISUSE(unbound_port, "port-unbound", HOST_E_STATE) {
  parts p;
  load(&p);
  MUST(e5rt_io_port_bind_buffer_object(p.in_port, p.in));
  return e5rt_execution_stream_encode_operation(p.stream, p.operation);
}

MISUSE(small_buffer, "buffer-small", HOST_E_ARGUMENT) {
  parts p;
  void *small;
  bind(&p);
  MUST(e5rt_buffer_object_alloc(&small, 127, 0));
  MUST(e5rt_io_port_bind_buffer_object(p.in_port, small));
  return e5rt_execution_stream_encode_operation(p.stream, p.operation);
}

MISUSE(buffer_released_while_encoded, "buffer-in-use", HOST_E_STATE) {
  parts p;
  encode(&p);
  return e5rt_buffer_object_release(&p.out);
}

MISUSE(rebind_after_encode, "bind-after-encode", HOST_E_STATE) {
  parts p;
  encode(&p);
  return e5rt_io_port_bind_buffer_object(p.in_port, p.out);
}

MISUSE(rebind_after_reset, "bind-after-encode", HOST_E_STATE) {
  parts p;
  encode(&p);
  MUST(e5rt_execution_stream_reset(p.stream));
  MUST(e5rt_execution_stream_operation_prepare_op_for_encode(p.operation));
  return e5rt_io_port_bind_buffer_object(p.in_port, p.out);
}

/* -- encoding --------------------------------------------------------------------------------------------------------------- */

MISUSE(encode_twice, "encode-twice", HOST_E_STATE) {
  parts p;
  encode(&p);
  return e5rt_execution_stream_encode_operation(p.stream, p.operation);
}

MISUSE(encode_on_a_second_stream, "encode-twice", HOST_E_STATE) {
  parts p;
  void *other;
  encode(&p);
  MUST(e5rt_execution_stream_create(&other));
  return e5rt_execution_stream_encode_operation(other, p.operation);
}

MISUSE(encode_without_prepare, "encode-unprepared", HOST_E_STATE) {
  parts p;
  encode(&p);
  MUST(e5rt_execution_stream_reset(p.stream));
  return e5rt_execution_stream_encode_operation(p.stream, p.operation);
}

MISUSE(prepare_what_was_never_encoded, "prepare-never-encoded", HOST_E_STATE) {
  parts p;
  bind(&p);
  return e5rt_execution_stream_operation_prepare_op_for_encode(p.operation);
}

MISUSE(prepare_before_reset, "prepare-before-reset", HOST_E_STATE) {
  parts p;
  encode(&p);
  return e5rt_execution_stream_operation_prepare_op_for_encode(p.operation);
}

MISUSE(operation_released_while_encoded, "operation-in-use", HOST_E_STATE) {
  parts p;
  encode(&p);
  return e5rt_execution_stream_operation_release(&p.operation);
}

MISUSE(reset_of_a_fresh_stream, "reset-fresh", HOST_E_STATE) {
  parts p;
  load(&p);
  return e5rt_execution_stream_reset(p.stream);
}

MISUSE(execute_nothing, "stream-empty", HOST_E_STATE) {
  parts p;
  load(&p);
  return e5rt_execution_stream_execute_sync(p.stream);
}

MISUSE(submit_nothing, "stream-empty", HOST_E_STATE) {
  parts p;
  load(&p);
  block b = stack_block();
  return e5rt_execution_stream_submit_async(p.stream, _Block_copy(&b));
}

/* -- in flight --------------------------------------------------------------------------------------------------------------- */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static e5rt_error_code_t wait_at_gate(block *self) {
  pthread_mutex_lock(&gate);
  pthread_mutex_unlock(&gate);
  return self->result;
}

/* The first block holds the stream's thread; the second run stays in flight until the gate opens. */
static void fly(parts *p) {
  encode(p);
  block b = stack_block();
  b.invoke = wait_at_gate;
  pthread_mutex_lock(&gate);
  MUST(e5rt_execution_stream_submit_async(p->stream, _Block_copy(&b)));
  MUST(e5rt_execution_stream_submit_async(p->stream, _Block_copy(&b)));
}

static e5rt_error_code_t open_gate(e5rt_error_code_t err) {
  pthread_mutex_unlock(&gate);
  return err;
}

MISUSE(stream_released_in_flight, "stream-in-flight", HOST_E_STATE) {
  parts p;
  fly(&p);
  return open_gate(e5rt_execution_stream_release(&p.stream));
}

MISUSE(stream_reset_in_flight, "stream-in-flight", HOST_E_STATE) {
  parts p;
  fly(&p);
  return open_gate(e5rt_execution_stream_reset(p.stream));
}

static e5rt_error_code_t in_block;
static e5rt_error_code_t execute_in_block(block *self) {
  in_block = e5rt_execution_stream_execute_sync(self->parts->stream);
  return 0;
}
static e5rt_error_code_t release_in_block(block *self) {
  void *stream = self->parts->stream;
  in_block = e5rt_execution_stream_release(&stream);
  return 0;
}

static e5rt_error_code_t run_block(e5rt_error_code_t (*invoke)(block *)) {
  parts p;
  encode(&p);
  block b = stack_block();
  b.invoke = invoke;
  b.parts = &p;
  block *copy = _Block_copy(&b);
  MUST(e5rt_execution_stream_submit_async(p.stream, copy));
  MUST(e5rt_async_event_sync_wait(p.event));
  MUST(e5rt_execution_stream_release(&p.stream)); /* joins the thread that called the block */
  return in_block;
}

MISUSE(execute_in_own_block, "stream-in-block", HOST_E_STATE) { return run_block(execute_in_block); }
MISUSE(release_in_own_block, "stream-in-block", HOST_E_STATE) { return run_block(release_in_block); }

/* -- what is allowed --------------------------------------------------------------------------------------------------------- */

/* Everything a program may do, in strict mode; returns 0 and leaves nothing behind. */
static e5rt_error_code_t correct_use(void) {
  parts p;
  uint64_t value = 0, size = 0;
  void *x, *y;
  bind(&p);
  MUST(e5rt_buffer_object_get_data_ptr(p.in, &x));
  MUST(e5rt_buffer_object_get_data_ptr(p.out, &y));
  if (((unsigned char *)y)[0] != 0xA5) return 100; /* new memory is poisoned in strict mode */
  MUST(e5rt_buffer_object_get_size(p.in, &size));
  if (size != 128 || (uintptr_t)x % 64) return 101;
  MUST(e5rt_execution_stream_operation_bind_dependent_events(p.operation, &p.event, 1));
  MUST(e5rt_execution_stream_encode_operation(p.stream, p.operation));
  MUST(e5rt_execution_stream_execute_sync(p.stream));
  if (((uint16_t *)y)[0] != 0x3c00) return 102;
  MUST(e5rt_async_event_get_last_signaled_value(p.event, &value));
  if (value != 0) return 103; /* a synchronous run does not count */
  block b = stack_block(), *copy = _Block_copy(&b);
  MUST(e5rt_execution_stream_submit_async(p.stream, copy));
  MUST(e5rt_execution_stream_submit_async(p.stream, copy));
  _Block_release(copy);
  MUST(e5rt_async_event_sync_wait(p.event));
  MUST(e5rt_async_event_get_last_signaled_value(p.event, &value));
  if (value != 2) return 104;
  MUST(e5rt_execution_stream_reset(p.stream));
  MUST(e5rt_execution_stream_operation_prepare_op_for_encode(p.operation));
  MUST(e5rt_execution_stream_encode_operation(p.stream, p.operation));
  MUST(e5rt_execution_stream_execute_sync(p.stream));
  /* a parent may go before its child */
  MUST(e5rt_program_library_release(&p.library));
  MUST(e5rt_program_function_release(&p.function));
  MUST(e5rt_precompiled_compute_op_create_options_release(&p.op_options));
  MUST(e5rt_execution_stream_execute_sync(p.stream));
  p.library = p.function = p.op_options = NULL;
  MUST(e5rt_execution_stream_release(&p.stream));
  MUST(e5rt_execution_stream_operation_release(&p.operation));
  MUST(e5rt_io_port_release(&p.in_port));
  MUST(e5rt_io_port_release(&p.out_port));
  MUST(e5rt_buffer_object_release(&p.in));
  MUST(e5rt_buffer_object_release(&p.out));
  MUST(e5rt_async_event_release(&p.event));
  MUST(e5rt_e5_compiler_config_options_release(&p.config));
  MUST(e5rt_e5_compiler_release(&p.compiler));
  MUST(e5rt_e5_compiler_options_release(&p.options));
  parts again;
  encode(&again);
  release(&again);
  return 0;
}

TEST(correct_use_passes) {
  char text[4096];
  misuse = correct_use;
  with_strict = 1;
  int signal = test_child(child, text, sizeof text);
  CHECK(signal == 0 && strncmp(text, "returned 0:", 11) == 0, "signal %d: %s", signal, text);
}

/* Errors of the world are no misuse: they are codes with a text, in strict mode too. */
static e5rt_error_code_t ordinary_errors(void) {
  parts p;
  void *out = NULL;
  load(&p);
#define EXPECT(call, code, words) \
  do { \
    e5rt_error_code_t got = call; \
    if (got != (code) || !strstr(aneforge_host_error_text(), words)) \
      fprintf(stderr, "%s gave %lld: %s\n", #call, (long long)got, aneforge_host_error_text()); \
  } while (0)
  EXPECT(e5rt_buffer_object_alloc(&out, 64, 3), HOST_E_ARGUMENT, "Invalid BufferType @ AllocMemory");
  EXPECT(e5rt_buffer_object_alloc(&out, 0, 0), HOST_E_ARGUMENT, "0 bytes");
  EXPECT(e5rt_buffer_object_alloc(&out, UINT64_MAX, 0), HOST_E_MEMORY, "out of memory");
  EXPECT(e5rt_execution_stream_operation_retain_input_port(p.operation, "y", &out), HOST_E_ARGUMENT, "no input \"y\"");
  EXPECT(e5rt_execution_stream_operation_retain_output_port(p.operation, "x", &out), HOST_E_ARGUMENT, "no output \"x\"");
  EXPECT(e5rt_program_library_retain_program_function(p.library, "other", &out), HOST_E_ARGUMENT, "\"other\"");
  EXPECT(e5rt_program_library_create(&out, "/nowhere"), HOST_E_UNSUPPORTED, "Invalid E5 path specified");
  EXPECT(e5rt_execution_stream_async_submit(p.stream), HOST_E_UNSUPPORTED, "Use submit_async");
  EXPECT(e5rt_e5_compiler_compile(p.compiler, "/nowhere.mil", p.options, &out), HOST_E_COMPILE, "/nowhere.mil");
  MUST(e5rt_e5_compiler_options_set_compute_device_types_mask(p.options, 3));
  EXPECT(e5rt_e5_compiler_compile(p.compiler, model_path, p.options, &out), HOST_E_COMPILE, "leaves out the ANE");
  MUST(e5rt_e5_compiler_options_set_compute_device_types_mask(p.options, 4));
  MUST(e5rt_e5_compiler_config_options_set_cache_bundle_location(p.config, "/nowhere"));
  MUST(e5rt_e5_compiler_release(&p.compiler));
  MUST(e5rt_e5_compiler_create_with_config(&p.compiler, p.config));
  EXPECT(e5rt_e5_compiler_compile(p.compiler, model_path, p.options, &out), HOST_E_COMPILE, "not a directory");
  release(&p);
  return out != NULL;
}

TEST(ordinary_errors_are_codes) {
  char text[4096];
  misuse = ordinary_errors;
  with_strict = 1;
  int signal = test_child(child, text, sizeof text);
  CHECK(signal == 0 && strncmp(text, "returned 0:", 11) == 0, "signal %d: %s", signal, text);
}

/* A global block needs no copy; helpers are called once per heap copy, and the signature moves behind them. */
static int helper_copies, helper_disposals, global_calls;
static void copy_helper(void *to, const void *from) { helper_copies += to != from; }
static void dispose_helper(void *of) { helper_disposals += of != NULL; }
static e5rt_error_code_t count_call(block *self) {
  global_calls += self->flags == (1 << 30 | 1 << 28);
  return 0;
}

static e5rt_error_code_t other_blocks(void) {
  static const struct {
    unsigned long reserved, size;
    void (*copy)(void *, const void *);
    void (*dispose)(void *);
    const char *signature;
  } with_helpers = {0, sizeof(block), copy_helper, dispose_helper, "q8@?0"};
  static block global;
  parts p;
  global = (block){_NSConcreteGlobalBlock, 1 << 30 | 1 << 28, 0, count_call, &good_descriptor, NULL, 0};
  encode(&p);
  if (_Block_copy(&global) != (void *)&global) return 100;
  _Block_release(&global);
  MUST(e5rt_execution_stream_submit_async(p.stream, &global));
  block b = stack_block();
  b.flags |= 1 << 25;
  b.descriptor = (const struct descriptor *)&with_helpers;
  block *copy = _Block_copy(&b);
  if (copy == &b || _Block_copy(copy) != copy || helper_copies != 1) return 101;
  _Block_release(copy);
  MUST(e5rt_execution_stream_submit_async(p.stream, copy));
  _Block_release(copy);
  MUST(e5rt_async_event_sync_wait(p.event));
  release(&p); /* joins the thread that calls the blocks */
  return global_calls == 1 && helper_disposals == 1 ? 0 : 102;
}

TEST(global_blocks_and_helpers) {
  char text[4096];
  misuse = other_blocks;
  with_strict = 1;
  int signal = test_child(child, text, sizeof text);
  CHECK(signal == 0 && strncmp(text, "returned 0:", 11) == 0, "signal %d: %s", signal, text);
}

static block *failing_block_copy(void) {
  block b = stack_block();
  b.result = 5;
  return _Block_copy(&b);
}

/* A block's result is the result of the run: the next wait reports it. */
static e5rt_error_code_t block_result(void) {
  parts p;
  encode(&p);
  block *copy = failing_block_copy();
  MUST(e5rt_execution_stream_submit_async(p.stream, copy));
  _Block_release(copy);
  e5rt_async_event_sync_wait(p.event); /* may come before the block */
  MUST(e5rt_execution_stream_release(&p.stream));
  MUST(e5rt_execution_stream_create(&p.stream));
  e5rt_error_code_t err = e5rt_async_event_sync_wait(p.event);
  release(&p);
  return err;
}

TEST(block_result_reaches_the_event) {
  char text[4096];
  misuse = block_result;
  with_strict = 1;
  int signal = test_child(child, text, sizeof text);
  CHECK(signal == 0 && strstr(text, "returned 6: ") && strstr(text, "completion block returned"), "signal %d: %s", signal, text);
}


TEST(rules_have_a_text) {
  const char *rules = aneforge_host_strict_rules();
  int lines = 0;
  for (const char *at = rules; *at; at = strchr(at, '\n') + 1, lines++) {
    const char *tab = strchr(at, '\t'), *end = strchr(at, '\n');
    CHECK(tab && end && tab > at && tab + 10 < end, "%.40s", at);
  }
  CHECK(lines == N_RULES, "%d lines, %d rules", lines, N_RULES);
}

static void write_model(void) {
  snprintf(cache_path, sizeof cache_path, "/tmp/aneforge-strict-XXXXXX");
  if (!mkdtemp(cache_path)) exit(1);
  snprintf(model_path, sizeof model_path, "%s/model.mil", cache_path);
  FILE *file = fopen(model_path, "w");
  if (!file || fputs(model, file) < 0 || fclose(file)) exit(1);
}

int main(void) {
  write_model();
  RUN(null_handle);
  RUN(null_result);
  RUN(null_string);
  RUN(swapped_arguments);
  RUN(handle_for_string);
  RUN(result_first_where_it_is_last);
  RUN(result_last_where_it_is_first);
  RUN(release_by_value);
  RUN(invented_pointer);
  RUN(use_after_release);
  RUN(use_after_release_of_a_reused_slot);
  RUN(double_release);
  RUN(release_of_null);
  RUN(leak_at_exit);
  RUN(block_leak_at_exit);
  RUN(mask_zero);
  RUN(unknown_segmenter);
  RUN(flag_out_of_range);
  RUN(unknown_custom_option);
  RUN(event_without_a_name);
  RUN(wait_for_nothing);
  RUN(future_in_the_past);
  RUN(event_released_while_encoded);
  RUN(completion_event_after_encode);
  RUN(dependent_event_after_encode);
  RUN(null_block);
  RUN(block_still_on_the_stack);
  RUN(block_with_a_wrong_isa);
  RUN(block_without_signature_flag);
  RUN(block_without_function);
  RUN(block_without_descriptor);
  RUN(block_with_a_wrong_size);
  RUN(block_that_returns_void);
  RUN(function_pointer_for_a_block);
  RUN(released_block);
  RUN(block_released_twice);
  RUN(copy_of_no_block);
  RUN(unbound_port);
  RUN(small_buffer);
  RUN(buffer_released_while_encoded);
  RUN(rebind_after_encode);
  RUN(rebind_after_reset);
  RUN(encode_twice);
  RUN(encode_on_a_second_stream);
  RUN(encode_without_prepare);
  RUN(prepare_what_was_never_encoded);
  RUN(prepare_before_reset);
  RUN(operation_released_while_encoded);
  RUN(reset_of_a_fresh_stream);
  RUN(execute_nothing);
  RUN(submit_nothing);
  RUN(stream_released_in_flight);
  RUN(stream_reset_in_flight);
  RUN(execute_in_own_block);
  RUN(release_in_own_block);
  RUN(correct_use_passes);
  RUN(ordinary_errors_are_codes);
  RUN(global_blocks_and_helpers);
  RUN(block_result_reaches_the_event);
  RUN(rules_have_a_text);
  unlink(model_path);
  rmdir(cache_path);
  return test_end();
}
