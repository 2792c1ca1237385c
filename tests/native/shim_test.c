/* shim_test.c - aneforge.h against the real host library, opened by path, in strict mode: whatever the shim does wrong ends
 * this program. */
#include "test.h"

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>

#include "aneforge.h"
#include "e5rt.h"

/* For the portable conversions inside, which a CPU with F16C does not run. */
#include "internal.h"
#define af_f32_to_f16 chosen_f32_to_f16
#define af_f16_to_f32 chosen_f16_to_f32
#include "convert.c"
#undef af_f32_to_f16
#undef af_f16_to_f32

static const char *host_path;
static af_device *device;
static char dir[64];

/* -- programs ---------------------------------------------------------------------------------------------------------------- */

#define MIL(signature, body, outputs) \
  "program(1.3)\n" \
  "[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3520.4.1\"}, {\"coremlc-version\", \"3520.5.1\"}})]\n" \
  "{\n    func main<ios18>(" signature ") {\n" body "    } -> (" outputs ");\n}\n"

/* y = x + 1, four elements */
static const char plus_one[] = MIL("tensor<fp16, [1, 4]> x",
    "        tensor<fp16, [1, 4]> y = add(x = x, y = fp16(0x1p+0))[name = string(\"y\")];\n", "y");
/* y = x + 1, three bytes */
static const char bytes_model[] = MIL("tensor<uint8, [1, 3]> x",
    "        tensor<fp16, [1, 3]> c = cast(dtype = string(\"fp16\"), x = x)[name = string(\"c\")];\n"
    "        tensor<fp16, [1, 3]> y = add(x = c, y = fp16(0x1p+0))[name = string(\"y\")];\n", "y");

static const char *write_model(const char *name, const char *text) {
  static char path[128];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *file = fopen(path, "w");
  if (!file || fputs(text, file) < 0 || fclose(file)) exit(1);
  return path;
}

static const uint32_t fp16_ports[] = {AF_FP16, AF_FP16};
static const uint64_t four[] = {4, 4};

static af_program *compile_plus_one(void) {
  return af_program_compile(device, write_model("plus_one.mil", plus_one), dir, AF_MASK_ANE, 0, 1, 1, "x\0y", 4, fp16_ports, four);
}

#define CHECK_FAILS(call, status, words) \
  do { \
    af_status got_status = call; \
    CHECK(got_status == (status), "gave %d: %s", got_status, af_last_error()); \
    CHECK(strstr(af_last_error(), words), "\"%s\" not in: %s", words, af_last_error()); \
  } while (0)

#define CHECK_NULL(call, words) \
  do { \
    const void *got_pointer = call; \
    CHECK(!got_pointer && strstr(af_last_error(), words), "\"%s\" not in: %s", words, af_last_error()); \
  } while (0)

/* -- device ------------------------------------------------------------------------------------------------------------------ */

TEST(device_open_refuses) {
  CHECK(af_abi_version() == AF_ABI_VERSION);
  CHECK_NULL(af_device_open(NULL, host_path), "known are");
  CHECK_NULL(af_device_open("gpu", host_path), "\"gpu\"");
  CHECK_NULL(af_device_open("host", NULL), "needs the path");
  CHECK_NULL(af_device_open("host", ""), "needs the path");
  CHECK_NULL(af_device_open("host", "/nowhere/lib.so"), "/nowhere/lib.so");
  CHECK_NULL(af_device_open("ane", host_path), "takes no library");
#if !defined(__APPLE__)
  CHECK_NULL(af_device_open("ane", NULL), "Espresso");
  CHECK_NULL(af_device_open("host", "libm.so.6"), "lacks required symbols: e5rt_e5_compiler_config_options_create e5rt_");
  CHECK(strstr(af_last_error(), "e5rt_execution_stream_execute_sync") && !strstr(af_last_error(), "submit_async"), "%s",
        af_last_error());
#endif
}

TEST(device_is_shared_and_counted) {
  af_device *again = af_device_open("host", host_path);
  CHECK(again == device);
  af_device_close(again);
  CHECK(af_device_info(device) != NULL, "one open is left");
  af_device_close(NULL);
  af_device_close((af_device *)&dir);
  CHECK_NULL(af_device_info(NULL), "not an open device");
  CHECK_NULL(af_device_info((af_device *)&dir), "not an open device");
}

TEST(device_info_lists_every_symbol) {
  const char *info = af_device_info(device);
  char line[160];
  snprintf(line, sizeof line, "provider=host\nlibrary=%s\nabi=1\n", host_path);
  CHECK(strncmp(info, line, strlen(line)) == 0, "%s", info);
#define HAS(name) \
  snprintf(line, sizeof line, "\nsymbol.%s=found\n", name); \
  CHECK(strstr(info, line), "%s", line);
#define HAS_REQUIRED(name) HAS(#name)
#define HAS_OPTIONAL(name) HAS(#name)
#define HAS_UNUSED(name) CHECK(!strstr(info, "." #name "="), "%s", #name);
#define HAS_ROW(need, result, name, parameters) HAS_##need(name)
  E5RT_SYMBOLS(HAS_ROW)
  HAS("_Block_copy")
  HAS("_Block_release")
  HAS("_NSConcreteStackBlock")
  CHECK(!strstr(info, "missing"));
}

TEST(host_library_exports_the_whole_table) {
  void *image = dlopen(host_path, RTLD_NOW | RTLD_LOCAL);
#define EXPORTED(need, result, name, parameters) CHECK(dlsym(image, #name), "%s", #name);
  E5RT_SYMBOLS(EXPORTED)
  CHECK(dlsym(image, "aneforge_host_error_text") && dlsym(image, "aneforge_host_strict_rules"));
  CHECK(dlsym(image, "_NSConcreteGlobalBlock") && dlsym(image, "_NSConcreteMallocBlock"));
  CHECK(!dlsym(image, "host_fail") && !dlsym(image, "engine_compile"), "internals stay inside");
}

TEST(closed_device_compiles_nothing_but_its_programs_run) {
  char copy[160];
  snprintf(copy, sizeof copy, "%s", host_path);
  char *slash = strrchr(copy, '/'); /* another spelling of the path is another device */
  snprintf(slash, sizeof copy - (size_t)(slash - copy), "/.%s", strrchr(host_path, '/'));
  af_device *other = af_device_open("host", copy);
  CHECK(other && other != device, "%s", af_last_error());
  af_program *program = af_program_compile(other, write_model("plus_one.mil", plus_one), dir, AF_MASK_ANE, 0, 1, 1, "x\0y", 4,
                                           fp16_ports, four);
  af_device_close(other);
  CHECK_NULL(af_device_info(other), "not an open device");
  CHECK_NULL(af_program_compile(other, "x", dir, AF_MASK_ANE, 0, 1, 1, "x\0y", 4, fp16_ports, four), "closed");
  CHECK(af_compile_check(other, "x", dir, AF_MASK_ANE, NULL) == AF_E_ARGUMENT);
  CHECK(af_execute(program) == AF_OK, "%s", af_last_error());
  af_program_release(program);
}

/* -- compile ----------------------------------------------------------------------------------------------------------------- */

TEST(compile_refuses_bad_arguments) {
  const char *mil = write_model("plus_one.mil", plus_one);
  uint64_t none[] = {4, 0}, huge[] = {4, ((uint64_t)1 << 40) + 1};
  uint32_t integer_output[] = {AF_FP16, AF_UINT8}, unknown[] = {5, AF_FP16};
#define COMPILE(mil, dir, mask, flags, inputs, outputs, names, bytes, dtypes, elements) \
  af_program_compile(device, mil, dir, mask, flags, inputs, outputs, names, bytes, dtypes, elements)
  CHECK_NULL(af_program_compile(NULL, mil, dir, 4, 0, 1, 1, "x\0y", 4, fp16_ports, four), "device is NULL");
  CHECK_NULL(COMPILE(NULL, dir, 4, 0, 1, 1, "x\0y", 4, fp16_ports, four), "mil_path");
  CHECK_NULL(COMPILE(mil, "", 4, 0, 1, 1, "x\0y", 4, fp16_ports, four), "cache_dir");
  CHECK_NULL(COMPILE(mil, dir, 0, 0, 1, 1, "x\0y", 4, fp16_ports, four), "device mask 0x0");
  CHECK_NULL(COMPILE(mil, dir, 8, 0, 1, 1, "x\0y", 4, fp16_ports, four), "device mask 0x8");
  CHECK_NULL(COMPILE(mil, dir, 4, 2, 1, 1, "x\0y", 4, fp16_ports, four), "flags 0x2");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 0, "x\0y", 4, fp16_ports, four), "0 outputs");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, UINT32_MAX, "x\0y", 4, fp16_ports, four), "4294967295 outputs");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, NULL, 4, fp16_ports, four), "NULL list");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "x\0y", 4, NULL, four), "NULL list");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "x\0y", 4, fp16_ports, NULL), "NULL list");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "x\0y", 3, fp16_ports, four), "NUL");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "x\0y", 0, fp16_ports, four), "NUL");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "x", 2, fp16_ports, four), "port 1 of 2 has no name");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "\0y", 3, fp16_ports, four), "port 0 of 2 has no name");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "x\0y\0z", 6, fp16_ports, four), "more than 2 names");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "x\0x", 4, fp16_ports, four), "both named x");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "x\0y", 4, fp16_ports, none), "0 elements");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "x\0y", 4, fp16_ports, huge), "elements");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "x\0y", 4, integer_output, four), "outputs are fp16");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "x\0y", 4, unknown, four), "element type 5");
  CHECK(af_live_programs() == 0);
}

TEST(compile_failures_carry_the_reason) {
  const char *mil = write_model("plus_one.mil", plus_one);
  CHECK_NULL(COMPILE("/nowhere/model.mil", dir, 4, 0, 1, 1, "x\0y", 4, fp16_ports, four),
             "compile /nowhere/model.mil: e5rt_e5_compiler_compile(mask=0x4) failed with 4: ");
  CHECK_NULL(COMPILE(mil, "/nowhere", 4, 0, 1, 1, "x\0y", 4, fp16_ports, four), "/nowhere is not a directory");
  CHECK_NULL(COMPILE(mil, dir, 3, 0, 1, 1, "x\0y", 4, fp16_ports, four), "e5rt_e5_compiler_compile(mask=0x3) failed with 4");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "z\0y", 4, fp16_ports, four), "bind input z: e5rt_execution_stream_operation_retain_input_port failed with 1");
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "x\0z", 4, fp16_ports, four), "no output \"z\"");
  mil = write_model("broken.mil", MIL("tensor<fp16, [1, 4]> x", "        tensor<fp16, [1, 4]> y = nonsense(x = x)[name = string(\"y\")];\n", "y"));
  CHECK_NULL(COMPILE(mil, dir, 4, 0, 1, 1, "x\0y", 4, fp16_ports, four), "broken.mil");
  CHECK(af_live_programs() == 0);
}

TEST(compile_check_for_targets) {
  const char *mil = write_model("plus_one.mil", plus_one);
  CHECK(af_compile_check(device, mil, dir, AF_MASK_ANE, NULL) == AF_OK, "%s", af_last_error());
  CHECK(af_compile_check(device, mil, dir, AF_MASK_ANE, "h16s") == AF_OK, "%s", af_last_error());
  CHECK_FAILS(af_compile_check(device, "/nowhere/model.mil", dir, AF_MASK_ANE, ""), AF_E_COMPILE, "/nowhere/model.mil");
  CHECK_FAILS(af_compile_check(NULL, mil, dir, AF_MASK_ANE, ""), AF_E_ARGUMENT, "NULL");
}

/* -- run --------------------------------------------------------------------------------------------------------------------- */

TEST(run_fp32_and_fp16) {
  af_program *program = compile_plus_one();
  CHECK(program != NULL, "%s", af_last_error());
  float in[4] = {0, -1, 0.5f, 2047}, out[4];
  CHECK(af_write_f32(program, 0, in, 4) == AF_OK && af_execute(program) == AF_OK && af_read_f32(program, 0, out, 4) == AF_OK,
        "%s", af_last_error());
  CHECK(out[0] == 1 && out[1] == 0 && out[2] == 1.5f && out[3] == 2048, "%g %g %g %g", out[0], out[1], out[2], out[3]);
  uint16_t half[4] = {0x3c00, 0, 0, 0};
  CHECK(af_write_f16(program, 0, half, 4) == AF_OK && af_execute(program) == AF_OK && af_read_f16(program, 0, half, 4) == AF_OK);
  CHECK(half[0] == 0x4000 && half[1] == 0x3c00);
  CHECK(memcmp(af_output_data(program, 0), half, sizeof half) == 0);
  ((uint16_t *)af_input_data(program, 0))[3] = 0x4200;
  CHECK(af_execute(program) == AF_OK && ((uint16_t *)af_output_data(program, 0))[3] == 0x4400);
  af_program_release(program);
}

TEST(unfed_inputs_are_zero) {
  af_program *program = compile_plus_one();
  float out[4];
  CHECK(af_execute(program) == AF_OK && af_read_f32(program, 0, out, 4) == AF_OK);
  CHECK(out[0] == 1 && out[3] == 1, "%g %g", out[0], out[3]);
  af_program_release(program);
}

TEST(byte_ports) {
  static const uint32_t dtypes[] = {AF_UINT8, AF_FP16};
  static const uint64_t three[] = {3, 3};
  const uint8_t in[] = {0, 7, 255};
  float out[3], single[3] = {0};
  uint16_t half[3] = {0};
  af_program *program = af_program_compile(device, write_model("bytes.mil", bytes_model), dir, AF_MASK_ANE, 0, 1, 1, "x\0y", 4,
                                           dtypes, three);
  CHECK(program != NULL, "%s", af_last_error());
  CHECK_FAILS(af_share_buffer(program, 0, 0), AF_E_ARGUMENT, "3 x uint8");
  CHECK(af_write_bytes(program, 0, in, 3) == AF_OK && af_execute(program) == AF_OK && af_read_f32(program, 0, out, 3) == AF_OK,
        "%s", af_last_error());
  CHECK(out[0] == 1 && out[1] == 8 && out[2] == 256, "%g %g %g", out[0], out[1], out[2]);
  CHECK_FAILS(af_write_bytes(program, 0, in, 4), AF_E_ARGUMENT, "af_write_bytes(x): 4 bytes, the port (uint8) has 3");
  CHECK_FAILS(af_write_bytes(program, 0, NULL, 3), AF_E_ARGUMENT, "NULL");
  CHECK_FAILS(af_write_f32(program, 0, single, 3), AF_E_ARGUMENT, "the port is uint8");
  CHECK_FAILS(af_write_f16(program, 0, half, 3), AF_E_ARGUMENT, "the port is uint8");
  af_program_release(program);
}

TEST(counts_must_match) {
  af_program *program = compile_plus_one();
  float data[8] = {0};
  uint16_t half[8] = {0};
  char text[256];
  CHECK_FAILS(af_write_f32(program, 0, data, 3), AF_E_ARGUMENT, "af_write_f32(x): 3 elements, the port (fp16) has 4");
  CHECK(af_program_error(program, text, sizeof text) == strlen(af_last_error()) && strcmp(text, af_last_error()) == 0, "%s", text);
  CHECK_FAILS(af_write_f32(program, 0, data, 5), AF_E_ARGUMENT, "5 elements");
  CHECK_FAILS(af_write_f32(program, 0, data, UINT64_MAX), AF_E_ARGUMENT, "elements");
  CHECK_FAILS(af_write_f32(program, 1, data, 4), AF_E_ARGUMENT, "no input 1, the program has 1");
  CHECK_FAILS(af_write_f32(program, 0, NULL, 4), AF_E_ARGUMENT, "NULL");
  CHECK_FAILS(af_write_f16(program, 0, half, 0), AF_E_ARGUMENT, "0 elements");
  CHECK_FAILS(af_write_bytes(program, 0, half, 8), AF_E_ARGUMENT, "the port is fp16");
  CHECK_FAILS(af_read_f32(program, 0, data, 3), AF_E_ARGUMENT, "af_read_f32(y): 3 elements");
  CHECK_FAILS(af_read_f16(program, 0, half, 5), AF_E_ARGUMENT, "5 elements");
  CHECK_FAILS(af_read_f32(program, 7, data, 4), AF_E_ARGUMENT, "no output 7");
  CHECK_FAILS(af_read_f32(program, 0, NULL, 4), AF_E_ARGUMENT, "NULL");
  CHECK_NULL(af_input_data(program, 1), "no input 1");
  CHECK_NULL(af_output_data(program, 1), "no output 1");
  af_program_release(program);
}

TEST(shared_state_counts) {
  af_program *program = compile_plus_one();
  float value[4];
  CHECK(af_share_buffer(program, 0, 0) == AF_OK, "%s", af_last_error());
  CHECK(af_input_data(program, 0) == af_output_data(program, 0));
  for (int i = 1; i <= 3; i++) {
    CHECK(af_execute(program) == AF_OK && af_read_f32(program, 0, value, 4) == AF_OK, "%s", af_last_error());
    CHECK(value[0] == (float)i && value[3] == (float)i, "%g after %d", value[0], i);
  }
  float seed[4] = {10, 20, 30, 40};
  CHECK(af_write_f32(program, 0, seed, 4) == AF_OK && af_execute(program) == AF_OK && af_read_f32(program, 0, value, 4) == AF_OK);
  CHECK(value[0] == 11 && value[3] == 41);
  CHECK_FAILS(af_share_buffer(program, 0, 0), AF_E_STATE, "has already run");
  af_program_release(program);
}

/* Every function with a handle that is no live program: released, never one, NULL. */
static void check_dead(af_program *program, af_status status) {
  float data[4] = {0};
  uint16_t half[4] = {0};
  char text[8] = "?";
  CHECK(af_execute(program) == status, "%s", af_last_error());
  CHECK(af_submit(program) == status && af_wait(program) == status && af_share_buffer(program, 0, 0) == status);
  CHECK(af_write_f32(program, 0, data, 4) == status && af_write_f16(program, 0, half, 4) == status);
  CHECK(af_write_bytes(program, 0, half, 8) == status);
  CHECK(af_read_f32(program, 0, data, 4) == status && af_read_f16(program, 0, half, 4) == status);
  CHECK(!af_input_data(program, 0) && !af_output_data(program, 0));
  CHECK(af_busy(program) == 0 && af_signaled_value(program) == 0);
  CHECK(af_program_error(program, text, sizeof text) == 0 && !*text);
  af_program_release(program);
}

TEST(dead_handles_are_recognised) {
  af_program *program = compile_plus_one();
  af_program_release(program);
  check_dead(program, AF_E_STATE);
  CHECK(strstr(af_last_error(), "was released"), "%s", af_last_error());
  for (int i = 0; i < 1100; i++) { /* more than there are slots: the old one is in use again */
    af_program *other = compile_plus_one();
    CHECK(other && other != program);
    if (i % 100 == 0 || i > 1020) check_dead(program, AF_E_STATE);
    af_program_release(other);
    if (test_current_failed) return;
  }
  check_dead(NULL, AF_E_ARGUMENT);
  check_dead((af_program *)&dir, AF_E_ARGUMENT);
  check_dead((af_program *)(uintptr_t)5, AF_E_ARGUMENT);
  check_dead((af_program *)UINTPTR_MAX, AF_E_ARGUMENT);
  check_dead((af_program *)((uintptr_t)program + ((uintptr_t)1 << 40)), AF_E_ARGUMENT);
}

TEST(program_cap) {
  af_program *programs[129];
  for (int i = 0; i < 128; i++) CHECK((programs[i] = compile_plus_one()) != NULL, "%d: %s", i, af_last_error());
  CHECK(af_live_programs() == 128);
  CHECK_NULL(compile_plus_one(), "program cap: 128");
  CHECK(af_live_programs() == 128);
  af_program_release(programs[64]);
  programs[64] = compile_plus_one();
  CHECK(programs[64] && af_execute(programs[64]) == AF_OK, "%s", af_last_error());
  for (int i = 0; i < 128; i++) af_program_release(programs[i]);
  CHECK(af_live_programs() == 0);
}

/* -- asynchronous -------------------------------------------------------------------------------------------------------------- */

static void *wait_for(void *program) { return (void *)(intptr_t)af_wait(program); }

TEST(submit_and_wait_on_another_thread) {
  af_program *program = compile_plus_one();
  float in[4] = {1, 2, 3, 4}, out[4];
  CHECK(af_execute(program) == AF_OK && af_signaled_value(program) == 0, "a synchronous run does not count");
  for (uint64_t i = 1; i <= 50; i++) {
    pthread_t thread;
    void *status;
    in[0] = (float)i;
    CHECK(af_write_f32(program, 0, in, 4) == AF_OK && af_submit(program) == AF_OK, "%s", af_last_error());
    CHECK(af_busy(program) == 1);
    CHECK_FAILS(af_execute(program), AF_E_STATE, "in flight");
    pthread_create(&thread, NULL, wait_for, program);
    while (af_busy(program)) usleep(10);
    pthread_join(thread, &status);
    CHECK((intptr_t)status == AF_OK && af_signaled_value(program) == i);
    CHECK(af_read_f32(program, 0, out, 4) == AF_OK && out[0] == (float)i + 1, "%g", out[0]);
    if (test_current_failed) break;
  }
  CHECK_FAILS(af_wait(program), AF_E_STATE, "nothing was submitted");
  af_program_release(program);
}

TEST(release_in_flight) {
  for (int i = 0; i < 50; i++) {
    af_program *program = compile_plus_one();
    CHECK(af_submit(program) == AF_OK, "%s", af_last_error());
    if (i % 2) {
      af_program_release(program);
      continue;
    }
    pthread_t thread;
    pthread_create(&thread, NULL, wait_for, program);
    af_program_release(program);
    void *status;
    pthread_join(thread, &status);
    CHECK((intptr_t)status == AF_OK || (intptr_t)status == AF_E_STATE);
  }
  CHECK(af_live_programs() == 0);
}

static void *count_on_thread(void *path) {
  for (int round = 0; round < 5; round++) {
    af_program *program = af_program_compile(device, path, dir, AF_MASK_ANE, 0, 1, 1, "x\0y", 4, fp16_ports, four);
    float value[4] = {0};
    if (!program || af_share_buffer(program, 0, 0) != AF_OK) return "setup";
    for (int i = 0; i < 50; i++) {
      if (i % 2 ? af_execute(program) : af_submit(program)) return "run";
      if (i % 2 == 0 && af_wait(program)) return "wait";
    }
    if (af_read_f32(program, 0, value, 4) || value[2] != 50 || af_signaled_value(program) != 25) return "result";
    /* errors on one thread do not touch the text of another */
    if (af_write_f32(program, 9, value, 4) != AF_E_ARGUMENT || !strstr(af_last_error(), "no input 9")) return "error text";
    af_program_release(program);
  }
  return NULL;
}

TEST(programs_on_several_threads) {
  pthread_t threads[4];
  void *wrong;
  const char *path = write_model("plus_one.mil", plus_one);
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, count_on_thread, (void *)path);
  for (int i = 0; i < 4; i++) {
    pthread_join(threads[i], &wrong);
    CHECK(!wrong, "%s", (const char *)wrong);
  }
  CHECK(af_live_programs() == 0);
}

/* -- conversion ---------------------------------------------------------------------------------------------------------------- */

/* The value of fp16 bits, straight from the definition. */
static double half_value(uint16_t h) {
  int e = h >> 10 & 31, f = h & 1023;
  double v = e == 31 ? (f ? NAN : INFINITY) : e ? ldexp(1024 + f, e - 25) : ldexp(f, -24);
  return h & 0x8000 ? -v : v;
}

/* To nearest even from the definition: a multiple of the unit in the last place. */
static uint16_t half_of(float value) {
  uint16_t sign = signbit(value) ? 0x8000 : 0;
  double v = fabs((double)value);
  if (v >= 65520) return sign | 0x7c00;
  int e = 0;
  frexp(v, &e);
  int unit = e - 11 < -24 ? -24 : e - 11;
  double r = ldexp(nearbyint(ldexp(v, -unit)), unit);
  if (r == 0) return sign;
  frexp(r, &e);
  if (e < -13) return sign | (uint16_t)ldexp(r, 24);
  return sign | (uint16_t)((e + 14) << 10 | ((int)ldexp(r, 11 - e) & 1023));
}

static void check_to_f16(const float *values, size_t n) {
  uint16_t got[64];
  for (size_t i = 0; i < n; i += 64) {
    size_t m = n - i < 64 ? n - i : 64;
    af_f32_to_f16(got, values + i, m);
    for (size_t k = 0; k < m; k++) {
      uint16_t want = half_of(values[i + k]);
      CHECK(got[k] == want, "%a gave %04x, expected %04x", values[i + k], got[k], want);
#if defined(__x86_64__)
      CHECK(to_f16(values[i + k]) == want, "%a gave %04x, expected %04x", values[i + k], to_f16(values[i + k]), want);
#endif
    }
    if (test_current_failed) return;
  }
}

TEST(half_to_float_all) {
  for (uint32_t h = 0; h < 65536; h++) {
    uint16_t bits = (uint16_t)h, back;
    float value;
    uint32_t word, plain;
    af_f16_to_f32(&value, &bits, 1);
    double want = half_value(bits);
    memcpy(&word, &value, sizeof word);
    if (isnan(want)) {
      CHECK(word == ((uint32_t)(h & 0x8000) << 16 | 0x7fc00000 | (h & 0x1ff) << 13), "%04x gave %08x", h, word);
    } else {
      CHECK((double)value == want && !signbit(value) == !(h >> 15), "%04x gave %a", h, value);
    }
    af_f32_to_f16(&back, &value, 1);
    CHECK(back == (isnan(want) ? h | 0x200 : h), "%04x came back as %04x", h, back);
#if defined(__x86_64__)
    float p = to_f32(bits);
    memcpy(&plain, &p, sizeof plain);
    CHECK(plain == word, "%04x portable %08x, vector %08x", h, plain, word);
    CHECK(to_f16(value) == back, "%04x", h);
#else
    (void)plain;
#endif
    if (test_current_failed) return;
  }
}

/* Every fp16 value, every midpoint between two, and the fp32 neighbours of both. */
TEST(float_to_half_at_every_boundary) {
  float values[12];
  for (uint32_t h = 0; h < 0x7c00; h++) {
    float at = (float)half_value((uint16_t)h);
    float next = h == 0x7bff ? 65536 : (float)half_value((uint16_t)(h + 1)), middle = (at + next) / 2;
    float points[] = {at, nextafterf(at, INFINITY), nextafterf(at, -INFINITY), middle, nextafterf(middle, INFINITY), nextafterf(middle, -INFINITY)};
    for (int i = 0; i < 6; i++) {
      values[i] = points[i];
      values[i + 6] = -points[i];
    }
    check_to_f16(values, 12);
    if (test_current_failed) return;
  }
  float rest[] = {0, -0.0f, 1e-45f, -1e-45f, 1e-40f, 65504, 65519.996f, 65520, 65536, 1e10f, 3.4028235e38f, INFINITY, -INFINITY};
  check_to_f16(rest, sizeof rest / sizeof *rest);
}

TEST(nan_stays_nan) {
  uint32_t words[] = {0x7f800001, 0xff800001, 0x7fc00000, 0xffc12345, 0x7fffffff};
  for (size_t i = 0; i < 5; i++) {
    float value;
    uint16_t half;
    memcpy(&value, &words[i], sizeof value);
    af_f32_to_f16(&half, &value, 1);
    CHECK(half == ((words[i] >> 16 & 0x8000) | 0x7e00 | (words[i] >> 13 & 0x1ff)), "%08x gave %04x", words[i], half);
#if defined(__x86_64__)
    CHECK(to_f16(value) == half, "%08x", words[i]);
#endif
  }
}

/* Each length writes exactly its elements, at any alignment. */
TEST(conversion_lengths) {
  float from[80], back[80];
  uint16_t half[80];
  for (int i = 0; i < 80; i++) from[i] = (float)i - 7.5f;
  for (uint64_t n = 0; n <= 40; n++)
    for (int offset = 0; offset < 3; offset++) {
      memset(half, 0xEE, sizeof half);
      for (int i = 0; i < 80; i++) back[i] = -1000;
      af_f32_to_f16(half + offset, from + offset, n);
      af_f16_to_f32(back + offset, half + offset, n);
      for (int i = 0; i < 80; i++) {
        int inside = i >= offset && i < offset + (int)n;
        CHECK(inside ? half[i] == half_of(from[i]) && back[i] == from[i] : half[i] == 0xEEEE && back[i] == -1000, "n %d at %d", (int)n, i);
      }
      if (test_current_failed) return;
    }
}

int main(void) {
  setenv("ANEFORGE_HOST_STRICT", "1", 1);
  host_path = getenv("ANEFORGE_TEST_HOST_LIBRARY");
  snprintf(dir, sizeof dir, "/tmp/aneforge-shim-XXXXXX");
  if (!host_path || !mkdtemp(dir) || !(device = af_device_open("host", host_path))) {
    printf("ANEFORGE_TEST_HOST_LIBRARY: %s\n0 passed, 1 failed\n", host_path ? af_last_error() : "not set");
    return 1;
  }
  RUN(device_open_refuses);
  RUN(device_is_shared_and_counted);
  RUN(device_info_lists_every_symbol);
  RUN(host_library_exports_the_whole_table);
  RUN(closed_device_compiles_nothing_but_its_programs_run);
  RUN(compile_refuses_bad_arguments);
  RUN(compile_failures_carry_the_reason);
  RUN(compile_check_for_targets);
  RUN(run_fp32_and_fp16);
  RUN(unfed_inputs_are_zero);
  RUN(byte_ports);
  RUN(counts_must_match);
  RUN(shared_state_counts);
  RUN(dead_handles_are_recognised);
  RUN(program_cap);
  RUN(submit_and_wait_on_another_thread);
  RUN(release_in_flight);
  RUN(programs_on_several_threads);
  RUN(half_to_float_all);
  RUN(float_to_half_at_every_boundary);
  RUN(nan_stays_nan);
  RUN(conversion_lengths);
  af_device_close(device);
  const char *files[] = {"plus_one.mil", "bytes.mil", "broken.mil"};
  for (int i = 0; i < 3; i++) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, files[i]);
    unlink(path);
  }
  rmdir(dir);
  return test_end();
}
