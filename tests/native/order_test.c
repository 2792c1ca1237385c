/* order_test.c - the shim's calls to the vendor, one by one and in order, against recorder.c; every call made to fail once. */
#include "test.h"

#include <dlfcn.h>
#include <pthread.h>

#include "aneforge.h"

enum { FAIL_CODE = 1, FAIL_NULL = 2 };
enum { BLOCK_IN_WAIT = 0, BLOCK_IN_SUBMIT = 1, BLOCK_NEVER = 2, BLOCK_LATER = 3 };

static void (*recorder_reset)(int call, int how, int when);
static void (*recorder_clear)(int call, int how);
static void (*recorder_block_when)(int when);
static const char *(*recorder_log)(void);
static int (*recorder_alive)(void);
static af_device *device;

/* inputs: x fp16 x 4 (8 bytes), img uint8 x 200; output: y fp16 x 4 */
static const char names[] = "x\0img\0y";
static const uint32_t dtypes[] = {AF_FP16, AF_UINT8, AF_FP16};
static const uint64_t elements[] = {4, 200, 4};

static af_program *compile(uint32_t flags) {
  return af_program_compile(device, "/m/model.mil", "/m/cache", AF_MASK_ANE, flags, 2, 1, names, sizeof names, dtypes,
                            elements);
}

/* Shows the first line that differs. */
static void check_log(const char *expected) {
  const char *got = recorder_log(), *line = expected;
  int i = 0;
  for (; expected[i] && expected[i] == got[i]; i++)
    if (expected[i] == '\n') line = expected + i + 1;
  CHECK(strcmp(expected, got) == 0, "\n  expected %.*s\n  got      %.*s", (int)strcspn(line, "\n"), line,
        (int)strcspn(got + (line - expected), "\n"), got + (line - expected));
}

#define COMPILE \
  "e5rt_e5_compiler_config_options_create() -> config1\n" \
  "e5rt_e5_compiler_config_options_set_cache_bundle_location(config1, \"/m/cache\")\n" \
  "e5rt_e5_compiler_create_with_config(config1) -> compiler1\n" \
  "e5rt_e5_compiler_options_create() -> options1\n" \
  "e5rt_e5_compiler_options_set_compute_device_types_mask(options1, 4)\n" \
  "e5rt_e5_compiler_options_set_force_recompilation(options1, 1)\n" \
  "e5rt_e5_compiler_options_set_segmenter(options1, \"graph\")\n"
#define PROFILE "e5rt_e5_compiler_options_set_enable_profiling(options1, 1)\n"
#define LIBRARY "e5rt_e5_compiler_compile(compiler1, \"/m/model.mil\", options1) -> library1\n"
#define LOAD \
  "e5rt_program_library_retain_program_function(library1, \"main\") -> function1\n" \
  "e5rt_precompiled_compute_op_create_options_create_with_program_function(function1) -> op_options1\n" \
  "e5rt_precompiled_compute_op_create_options_set_operation_name(op_options1, \"main\")\n" \
  "e5rt_precompiled_compute_op_create_options_set_allocate_intermediate_buffers(op_options1, 1)\n" \
  "e5rt_execution_stream_operation_create_precompiled_compute_operation_with_options(op_options1) -> operation1\n" \
  "e5rt_e5_compiler_options_release(options1)\n" \
  "e5rt_e5_compiler_release(compiler1)\n" \
  "e5rt_e5_compiler_config_options_release(config1)\n"
#define BIND \
  "e5rt_execution_stream_operation_retain_input_port(operation1, \"x\") -> port1\n" \
  "e5rt_buffer_object_alloc(64, 0) -> buffer1\n" \
  "e5rt_buffer_object_get_data_ptr(buffer1)\n" \
  "e5rt_io_port_bind_buffer_object(port1, buffer1)\n" \
  "e5rt_execution_stream_operation_retain_input_port(operation1, \"img\") -> port2\n" \
  "e5rt_buffer_object_alloc(256, 0) -> buffer2\n" \
  "e5rt_buffer_object_get_data_ptr(buffer2)\n" \
  "e5rt_io_port_bind_buffer_object(port2, buffer2)\n" \
  "e5rt_execution_stream_operation_retain_output_port(operation1, \"y\") -> port3\n" \
  "e5rt_buffer_object_alloc(64, 0) -> buffer3\n" \
  "e5rt_buffer_object_get_data_ptr(buffer3)\n" \
  "e5rt_io_port_bind_buffer_object(port3, buffer3)\n" \
  "e5rt_async_event_create(\"op0_complete\", 0) -> event1\n" \
  "e5rt_execution_stream_operation_bind_completion_event(operation1, event1)\n" \
  "e5rt_execution_stream_create() -> stream1\n"
#define RELEASE \
  "e5rt_execution_stream_release(stream1)\n" \
  "e5rt_buffer_object_release(buffer1)\n" \
  "e5rt_io_port_release(port1)\n" \
  "e5rt_buffer_object_release(buffer2)\n" \
  "e5rt_io_port_release(port2)\n" \
  "e5rt_buffer_object_release(buffer3)\n" \
  "e5rt_io_port_release(port3)\n" \
  "e5rt_async_event_release(event1)\n" \
  "e5rt_execution_stream_operation_release(operation1)\n" \
  "e5rt_precompiled_compute_op_create_options_release(op_options1)\n" \
  "e5rt_program_function_release(function1)\n" \
  "e5rt_program_library_release(library1)\n"
#define ENCODE "e5rt_execution_stream_encode_operation(stream1, operation1)\n"
#define EXECUTE "e5rt_execution_stream_execute_sync(stream1)\n"
#define SUBMIT \
  "e5rt_async_event_get_last_signaled_value(event1)\n" \
  "_Block_copy(stack, flags 0x40000000, q8@?0)\n" \
  "e5rt_execution_stream_submit_async(stream1, heap)\n"

TEST(compile_and_release) {
  recorder_reset(0, 0, 0);
  af_program *program = compile(0);
  CHECK(program != NULL, "%s", af_last_error());
  CHECK(af_live_programs() == 1);
  check_log(COMPILE LIBRARY LOAD BIND);
  recorder_clear(0, 0);
  af_program_release(program);
  check_log(RELEASE);
  CHECK(recorder_alive() == 0);
  CHECK(af_live_programs() == 0);
  recorder_clear(0, 0);
  af_program_release(program); /* stale */
  af_program_release(NULL);
  check_log("");
}

TEST(profile_is_set_before_compile) {
  recorder_reset(0, 0, 0);
  af_program_release(compile(AF_PROFILE));
  check_log(COMPILE PROFILE LIBRARY LOAD BIND RELEASE);
}

TEST(encode_once_then_execute) {
  recorder_reset(0, 0, 0);
  af_program *program = compile(0);
  recorder_clear(0, 0);
  for (int i = 0; i < 3; i++) CHECK(af_execute(program) == AF_OK, "%s", af_last_error());
  check_log(ENCODE EXECUTE EXECUTE EXECUTE);
  af_program_release(program);
}

TEST(buffers_are_zero_up_to_the_rounded_size) {
  recorder_reset(0, 0, 0);
  af_program *program = compile(0);
  const unsigned char *img = af_input_data(program, 1);
  int nonzero = 0;
  for (int i = 0; i < 256; i++) nonzero += img[i] != 0;
  CHECK(nonzero == 0, "%d bytes", nonzero);
  CHECK(img[256] == 0xA5, "written behind the buffer");
  af_program_release(program);
}

/* The name of call `n` (from 1) of a log. */
static void call_name(const char *log, int n, char *out, size_t size) {
  while (--n) log = strchr(log, '\n') + 1;
  snprintf(out, size, "%.*s", (int)strcspn(log, "("), log);
}

static int count_calls(const char *log) {
  int n = 0;
  for (; *log; log++) n += *log == '\n';
  return n;
}

/* Number of the thing of a kind that the first n - 1 lines of a compile made, 0 = none. */
static int made(const char *log, int n, const char *kind) {
  int last = 0;
  char arrow[32];
  snprintf(arrow, sizeof arrow, "-> %s", kind);
  for (int i = 1; i < n; i++) {
    const char *end = strchr(log, '\n'), *at = strstr(log, arrow);
    if (at && at < end) last = atoi(at + strlen(arrow));
    log = end + 1;
  }
  return last;
}

/* What has to follow when call n of a compile fails for good. */
static void expected_releases(const char *log, int n, char *out) {
  static const struct {
    const char *kind, *function;
  } chain[] = {
      {"event", "e5rt_async_event_release"},
      {"operation", "e5rt_execution_stream_operation_release"},
      {"op_options", "e5rt_precompiled_compute_op_create_options_release"},
      {"function", "e5rt_program_function_release"},
      {"library", "e5rt_program_library_release"},
      {"options", "e5rt_e5_compiler_options_release"},
      {"compiler", "e5rt_e5_compiler_release"},
      {"config", "e5rt_e5_compiler_config_options_release"},
  };
  char function[128];
  int ports = made(log, n, "port"), buffers = made(log, n, "buffer");
  call_name(log, n, function, sizeof function);
  int binding = strstr(function, "buffer") && ports;
  if (binding) { /* the port that failed first */
    if (buffers == ports) out += sprintf(out, "e5rt_buffer_object_release(buffer%d)\n", buffers--);
    out += sprintf(out, "e5rt_io_port_release(port%d)\n", ports--);
  }
  for (int i = 1; i <= ports; i++)
    out += sprintf(out, "e5rt_buffer_object_release(buffer%d)\ne5rt_io_port_release(port%d)\n", i, i);
  for (size_t i = 0; i < sizeof chain / sizeof *chain; i++) {
    int released_by_success = i >= 5 && made(log, n, "operation");
    if (made(log, n, chain[i].kind) && !released_by_success) out += sprintf(out, "%s(%s1)\n", chain[i].function, chain[i].kind);
  }
  *out = 0;
}

static int is_tolerated(const char *function) {
  return strstr(function, "_set_") || strstr(function, "_release") || strstr(function, "async_event_create") ||
         strstr(function, "bind_completion_event");
}

static void fail_each_compile_call(int how) {
  static const char good[] = COMPILE PROFILE LIBRARY LOAD BIND;
  char function[128], releases[4096];
  for (int n = 1; n <= count_calls(good); n++) {
    call_name(good, n, function, sizeof function);
    int has_result = strstr(function, "create") || strstr(function, "alloc") || strstr(function, "retain") ||
                     strstr(function, "_compile") || strstr(function, "get_data");
    if (how == FAIL_NULL && !has_result) continue;
    recorder_reset(n, how, 0);
    af_program *program = compile(AF_PROFILE);
    const char *rest = recorder_log();
    for (int i = 0; i < n; i++) rest = strchr(rest, '\n') + 1;
    if (is_tolerated(function)) {
      CHECK(program != NULL, "%s: %s", function, af_last_error());
      int event = strstr(function, "event") != NULL;
      CHECK(af_execute(program) == AF_OK, "%s", af_last_error());
      CHECK(af_submit(program) == (event ? AF_E_MISSING : AF_OK), "%s", function);
      if (!event) CHECK(af_wait(program) == AF_OK, "%s", function);
      if (strstr(function, "bind_completion"))
        CHECK(strncmp(rest, "e5rt_async_event_release(event1)\n", 33) == 0, "%s", rest);
      af_program_release(program);
      CHECK(recorder_alive() == 0, "%s: %d alive", function, recorder_alive());
      continue;
    }
    CHECK(program == NULL, "%s", function);
    CHECK(strstr(af_last_error(), function), "%s not in: %s", function, af_last_error());
    CHECK(strstr(af_last_error(), how == FAIL_CODE ? "failed with 42: as ordered" : "succeeded but gave nothing: as ordered"),
          "%s", af_last_error());
    expected_releases(good, n, releases);
    CHECK(strcmp(rest, releases) == 0, "%s\nexpected:\n%sgot:\n%s", function, releases, rest);
    CHECK(recorder_alive() == 0, "%s", function);
    CHECK(af_live_programs() == 0);
  }
}

TEST(each_compile_call_fails_with_a_code) { fail_each_compile_call(FAIL_CODE); }
TEST(each_compile_call_gives_nothing) { fail_each_compile_call(FAIL_NULL); }

TEST(failure_text_names_step_call_and_code) {
  recorder_reset(8, FAIL_CODE, 0);
  CHECK(compile(0) == NULL);
  CHECK(strcmp(af_last_error(),
               "compile /m/model.mil: e5rt_e5_compiler_compile(mask=0x4) failed with 42: as ordered") == 0,
        "%s", af_last_error());
}

TEST(failed_encode_is_tried_again) {
  recorder_reset(0, 0, 0);
  af_program *program = compile(0);
  recorder_clear(1, FAIL_CODE);
  CHECK(af_execute(program) == AF_E_EXECUTE);
  CHECK(strstr(af_last_error(), "e5rt_execution_stream_encode_operation failed with 42"), "%s", af_last_error());
  recorder_clear(2, FAIL_CODE);
  CHECK(af_execute(program) == AF_E_EXECUTE);
  check_log(ENCODE "e5rt_execution_stream_execute_sync(stream1) = 42\n");
  char text[256];
  CHECK(af_program_error(program, text, sizeof text) == strlen(af_last_error()));
  CHECK(strcmp(text, af_last_error()) == 0, "%s", text);
  CHECK(af_program_error(program, text, 8) == strlen(af_last_error()) && strcmp(text, "execute") == 0, "%s", text);
  recorder_clear(0, 0);
  CHECK(af_execute(program) == AF_OK);
  check_log(EXECUTE);
  af_program_release(program);
}

TEST(share_binds_first_then_drops) {
  recorder_reset(0, 0, 0);
  af_program *program = compile(0);
  void *own = af_input_data(program, 0);
  recorder_clear(1, FAIL_CODE);
  CHECK(af_share_buffer(program, 0, 0) == AF_E_STATE, "%s", af_last_error());
  check_log("e5rt_io_port_bind_buffer_object(port1, buffer3) = 42\n");
  CHECK(af_input_data(program, 0) == own, "a failed share changes nothing");
  recorder_clear(0, 0);
  CHECK(af_share_buffer(program, 0, 0) == AF_OK, "%s", af_last_error());
  check_log("e5rt_io_port_bind_buffer_object(port1, buffer3)\ne5rt_buffer_object_release(buffer1)\n");
  CHECK(af_input_data(program, 0) == af_output_data(program, 0));
  recorder_clear(0, 0);
  CHECK(af_share_buffer(program, 0, 1) == AF_E_ARGUMENT && strstr(af_last_error(), "200 x uint8"), "%s", af_last_error());
  CHECK(af_share_buffer(program, 1, 0) == AF_E_ARGUMENT);
  CHECK(af_share_buffer(program, 0, 2) == AF_E_ARGUMENT);
  check_log("");
  CHECK(af_execute(program) == AF_OK);
  CHECK(af_share_buffer(program, 0, 0) == AF_E_STATE, "after the first run");
  af_program_release(program);
  CHECK(strstr(recorder_log(), "release(stream1)\n"
                               "e5rt_io_port_release(port1)\n" /* its buffer belongs to the output */
                               "e5rt_buffer_object_release(buffer2)\n"), "%s", recorder_log());
  CHECK(recorder_alive() == 0);
}

TEST(submit_and_wait) {
  recorder_reset(0, 0, BLOCK_IN_WAIT);
  af_program *program = compile(0);
  recorder_clear(0, 0);
  CHECK(af_wait(program) == AF_E_STATE, "nothing submitted");
  CHECK(af_submit(program) == AF_OK, "%s", af_last_error());
  CHECK(af_busy(program) == 1);
  uint16_t half[4] = {0};
  float single[4] = {0};
  CHECK(af_submit(program) == AF_E_STATE && af_execute(program) == AF_E_STATE);
  CHECK(af_write_f16(program, 0, half, 4) == AF_E_STATE && af_read_f32(program, 0, single, 4) == AF_E_STATE);
  CHECK(af_share_buffer(program, 0, 0) == AF_E_STATE);
  CHECK(af_signaled_value(program) == 0);
  CHECK(af_wait(program) == AF_OK, "%s", af_last_error());
  CHECK(af_busy(program) == 0 && af_signaled_value(program) == 1);
  CHECK(af_wait(program) == AF_E_STATE, "a second wait");
  check_log(ENCODE SUBMIT "e5rt_async_event_sync_wait(event1)\n"
                          "block()\n"
                          "e5rt_async_event_get_last_signaled_value(event1)\n"
                          "_Block_release(heap)\n");
  recorder_clear(0, 0);
  CHECK(af_submit(program) == AF_OK && af_wait(program) == AF_OK);
  CHECK(strncmp(recorder_log(), SUBMIT, sizeof SUBMIT - 1) == 0, "no second encode: %s", recorder_log());
  CHECK(af_execute(program) == AF_OK && af_signaled_value(program) == 2);
  af_program_release(program);
}

TEST(block_may_come_before_submit_returns) {
  recorder_reset(0, 0, BLOCK_IN_SUBMIT);
  af_program *program = compile(0);
  CHECK(af_submit(program) == AF_OK && af_busy(program) && af_wait(program) == AF_OK && !af_busy(program));
  af_program_release(program);
}

TEST(wait_covers_a_block_that_comes_late) {
  recorder_reset(0, 0, BLOCK_LATER);
  af_program *program = compile(0);
  CHECK(af_submit(program) == AF_OK && af_wait(program) == AF_OK);
  const char *block = strstr(recorder_log(), "block()\n"), *release = strstr(recorder_log(), "_Block_release(heap)\n");
  CHECK(block && release && block < release, "%s", recorder_log());
  af_program_release(program);
  recorder_reset(0, 0, 0); /* joins the thread */
}

TEST(failed_submit_leaves_the_program_usable) {
  recorder_reset(0, 0, BLOCK_IN_WAIT);
  af_program *program = compile(0);
  recorder_clear(4, FAIL_CODE);
  CHECK(af_submit(program) == AF_E_EXECUTE && strstr(af_last_error(), "submit_async failed with 42"), "%s", af_last_error());
  check_log(ENCODE "e5rt_async_event_get_last_signaled_value(event1)\n"
                   "_Block_copy(stack, flags 0x40000000, q8@?0)\n"
                   "e5rt_execution_stream_submit_async(stream1, heap) = 42\n"
                   "_Block_release(heap)\n");
  CHECK(af_busy(program) == 0 && af_wait(program) == AF_E_STATE);
  recorder_clear(0, 0);
  CHECK(af_execute(program) == AF_OK && af_submit(program) == AF_OK && af_wait(program) == AF_OK);
  af_program_release(program);
}

TEST(failed_wait_does_not_hang_on_the_block) {
  recorder_reset(0, 0, BLOCK_NEVER);
  af_program *program = compile(0);
  CHECK(af_submit(program) == AF_OK);
  recorder_clear(1, FAIL_CODE);
  CHECK(af_wait(program) == AF_E_EXECUTE);
  char text[256];
  af_program_error(program, text, sizeof text);
  CHECK(strcmp(text, "wait: e5rt_async_event_sync_wait failed with 42: as ordered") == 0, "%s", text);
  CHECK(af_busy(program) == 0);
  af_program_release(program);
  CHECK(recorder_alive() == 0);
}

TEST(late_block_of_a_failed_flight_ends_no_other) {
  recorder_reset(0, 0, BLOCK_NEVER);
  af_program *program = compile(0);
  CHECK(af_submit(program) == AF_OK);
  recorder_clear(1, FAIL_CODE);
  CHECK(af_wait(program) == AF_E_EXECUTE);
  recorder_block_when(BLOCK_LATER);
  CHECK(af_submit(program) == AF_OK);
  recorder_clear(0, 0);
  CHECK(af_wait(program) == AF_OK);
  CHECK(strncmp(recorder_log(), "e5rt_async_event_sync_wait(event1)\nblock()\nblock()\n", 50) == 0, "%s", recorder_log());
  af_program_release(program);
  recorder_reset(0, 0, 0);
}

TEST(release_in_flight_waits) {
  recorder_reset(0, 0, BLOCK_LATER);
  af_program *program = compile(0);
  CHECK(af_execute(program) == AF_OK && af_submit(program) == AF_OK);
  recorder_clear(0, 0);
  af_program_release(program);
  const char *log = recorder_log(), *wait = strstr(log, "sync_wait"), *block = strstr(log, "_Block_release(heap)"),
             *stream = strstr(log, "stream_release");
  CHECK(wait && block && stream && wait < block && block < stream, "%s", log);
  CHECK(recorder_alive() == 0);
  recorder_reset(0, 0, 0);
}

static void *wait_on_thread(void *program) { return (void *)(intptr_t)af_wait(program); }

TEST(release_beside_a_waiting_thread) {
  recorder_reset(0, 0, BLOCK_LATER);
  af_program *program = compile(0);
  CHECK(af_submit(program) == AF_OK);
  pthread_t thread;
  void *status = NULL;
  pthread_create(&thread, NULL, wait_on_thread, program);
  usleep(20000);
  af_program_release(program);
  pthread_join(thread, &status);
  CHECK((intptr_t)status == AF_OK || (intptr_t)status == AF_E_STATE, "%ld", (long)(intptr_t)status);
  CHECK(recorder_alive() == 0);
  recorder_reset(0, 0, 0);
}

TEST(compile_check_makes_a_library_only) {
  static const char releases[] =
      "e5rt_program_library_release(library1)\n"
      "e5rt_e5_compiler_options_release(options1)\n"
      "e5rt_e5_compiler_release(compiler1)\n"
      "e5rt_e5_compiler_config_options_release(config1)\n";
  char expected[4096];
  for (int i = 0; i < 3; i++) {
    const char *target = i == 0 ? NULL : i == 1 ? "" : "h15";
    recorder_reset(0, 0, 0);
    CHECK(af_compile_check(device, "/m/model.mil", "/m/cache", AF_MASK_ANE, target) == AF_OK, "%s", af_last_error());
    snprintf(expected, sizeof expected, COMPILE "%s" LIBRARY "%s",
             i == 2 ? "e5rt_e5_compiler_options_set_custom_ane_compiler_options(options1, \"TargetArchitecture=h15\")\n" : "",
             releases);
    check_log(expected);
  }
  recorder_reset(8, FAIL_NULL, 0);
  CHECK(af_compile_check(device, "/m/model.mil", "/m/cache", AF_MASK_ANE, NULL) == AF_E_COMPILE);
  CHECK(recorder_alive() == 0);
  recorder_reset(0, 0, 0);
  CHECK(af_compile_check(device, "/m/model.mil", "/m/cache", AF_MASK_ANE, "h15 x") == AF_E_ARGUMENT);
  CHECK(af_compile_check(device, "/m/model.mil", "/m/cache", AF_MASK_ANE, "a-very-long-target-name") == AF_E_ARGUMENT);
  CHECK(af_compile_check(device, "/m/model.mil", NULL, AF_MASK_ANE, NULL) == AF_E_ARGUMENT);
  check_log("");
}

int main(void) {
  const char *path = getenv("ANEFORGE_TEST_RECORDER");
  void *image = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!image) {
    printf("ANEFORGE_TEST_RECORDER: %s\n0 passed, 1 failed\n", path ? dlerror() : "not set");
    return 1;
  }
  *(void **)&recorder_reset = dlsym(image, "recorder_reset");
  *(void **)&recorder_clear = dlsym(image, "recorder_clear");
  *(void **)&recorder_block_when = dlsym(image, "recorder_block_when");
  *(void **)&recorder_log = dlsym(image, "recorder_log");
  *(void **)&recorder_alive = dlsym(image, "recorder_alive");
  device = af_device_open("host", path);
  if (!device) {
    printf("%s\n0 passed, 1 failed\n", af_last_error());
    return 1;
  }
  RUN(compile_and_release);
  RUN(profile_is_set_before_compile);
  RUN(encode_once_then_execute);
  RUN(buffers_are_zero_up_to_the_rounded_size);
  RUN(each_compile_call_fails_with_a_code);
  RUN(each_compile_call_gives_nothing);
  RUN(failure_text_names_step_call_and_code);
  RUN(failed_encode_is_tried_again);
  RUN(share_binds_first_then_drops);
  RUN(submit_and_wait);
  RUN(block_may_come_before_submit_returns);
  RUN(wait_covers_a_block_that_comes_late);
  RUN(failed_submit_leaves_the_program_usable);
  RUN(failed_wait_does_not_hang_on_the_block);
  RUN(late_block_of_a_failed_flight_ends_no_other);
  RUN(release_in_flight_waits);
  RUN(release_beside_a_waiting_thread);
  RUN(compile_check_makes_a_library_only);
  af_device_close(device);
  return test_end();
}
