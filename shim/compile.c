/* compile.c - from a MIL file to an operation, in the order the vendor's runtime wants. The results of the setters carry
 * no information and are not looked at. */
#include <string.h>

#include "internal.h"

void af_drop(e5rt_error_code_t (*release)(void **), void **handle) {
  if (*handle) release(handle);
  *handle = NULL;
}

af_status af_job_check(const af_job *job) {
  if (!job->mil_path || !*job->mil_path) return AF_FAIL(AF_E_ARGUMENT, "compile: mil_path is empty");
  if (!job->cache_dir || !*job->cache_dir) return AF_FAIL(AF_E_ARGUMENT, "compile: cache_dir is empty");
  if (job->mask == 0 || job->mask > (AF_MASK_BNNS | AF_MASK_GPU | AF_MASK_ANE))
    return AF_FAIL(AF_E_ARGUMENT, "compile: device mask 0x%llx is not a union of BNNS 1, GPU 2 and ANE 4",
                   (unsigned long long)job->mask);
  return AF_OK;
}

static void release_compiler(const af_vendor *v, af_chain *chain) {
  af_drop(v->e5rt_e5_compiler_options_release, &chain->options);
  af_drop(v->e5rt_e5_compiler_release, &chain->compiler);
  af_drop(v->e5rt_e5_compiler_config_options_release, &chain->config);
}

void af_chain_release(const af_vendor *v, af_chain *chain) {
  af_drop(v->e5rt_execution_stream_operation_release, &chain->operation);
  af_drop(v->e5rt_precompiled_compute_op_create_options_release, &chain->op_options);
  af_drop(v->e5rt_program_function_release, &chain->function);
  af_drop(v->e5rt_program_library_release, &chain->library);
  release_compiler(v, chain);
}

/* The failure text is written before the releases: they may replace the provider's text. */
static af_status give_up(const af_vendor *v, af_chain *chain, af_status status, const char *step, const char *call,
                         int64_t code) {
  af_vendor_failed(v, status, step, call, code);
  af_chain_release(v, chain);
  return status;
}

af_status af_chain_compile(const af_vendor *v, const af_job *job, af_chain *chain) {
  char step[1100], call[96];
  snprintf(step, sizeof step, "compile %.1024s", job->mil_path);
  memset(chain, 0, sizeof *chain);

  int64_t err = v->e5rt_e5_compiler_config_options_create(&chain->config);
  if (err || !chain->config)
    return give_up(v, chain, AF_E_COMPILE, step, "e5rt_e5_compiler_config_options_create", err);
  v->e5rt_e5_compiler_config_options_set_cache_bundle_location(chain->config, job->cache_dir);

  err = v->e5rt_e5_compiler_create_with_config(&chain->compiler, chain->config);
  if (err || !chain->compiler) return give_up(v, chain, AF_E_COMPILE, step, "e5rt_e5_compiler_create_with_config", err);

  err = v->e5rt_e5_compiler_options_create(&chain->options);
  if (err || !chain->options) return give_up(v, chain, AF_E_COMPILE, step, "e5rt_e5_compiler_options_create", err);
  v->e5rt_e5_compiler_options_set_compute_device_types_mask(chain->options, job->mask);
  v->e5rt_e5_compiler_options_set_force_recompilation(chain->options, 1);
  v->e5rt_e5_compiler_options_set_segmenter(chain->options, "graph");
  if (job->custom) v->e5rt_e5_compiler_options_set_custom_ane_compiler_options(chain->options, job->custom);
  if (job->profile && v->e5rt_e5_compiler_options_set_enable_profiling)
    v->e5rt_e5_compiler_options_set_enable_profiling(chain->options, 1);

  err = v->e5rt_e5_compiler_compile(chain->compiler, job->mil_path, chain->options, &chain->library);
  if (!err && chain->library) return AF_OK;
  snprintf(call, sizeof call, "e5rt_e5_compiler_compile(mask=0x%llx)", (unsigned long long)job->mask);
  return give_up(v, chain, AF_E_COMPILE, step, call, err);
}

af_status af_chain_load(const af_vendor *v, af_chain *chain) {
  int64_t err = v->e5rt_program_library_retain_program_function(chain->library, "main", &chain->function);
  if (err || !chain->function)
    return give_up(v, chain, AF_E_LOAD, "load", "e5rt_program_library_retain_program_function(main)", err);

  err = v->e5rt_precompiled_compute_op_create_options_create_with_program_function(&chain->op_options, chain->function);
  if (err || !chain->op_options)
    return give_up(v, chain, AF_E_LOAD, "load",
                   "e5rt_precompiled_compute_op_create_options_create_with_program_function", err);
  v->e5rt_precompiled_compute_op_create_options_set_operation_name(chain->op_options, "main");
  v->e5rt_precompiled_compute_op_create_options_set_allocate_intermediate_buffers(chain->op_options, 1);

  err = v->e5rt_execution_stream_operation_create_precompiled_compute_operation_with_options(&chain->operation,
                                                                                           chain->op_options);
  if (err || !chain->operation)
    return give_up(v, chain, AF_E_LOAD, "load",
                   "e5rt_execution_stream_operation_create_precompiled_compute_operation_with_options", err);
  release_compiler(v, chain);
  return AF_OK;
}

/* The archs known to the compiler are short lower-case names: h13, h17s, m11. */
static bool target_name_ok(const char *target) {
  size_t n = 0;
  for (; target[n]; n++)
    if (n >= 16 || !((target[n] >= 'a' && target[n] <= 'z') || (target[n] >= '0' && target[n] <= '9'))) return false;
  return n > 0;
}

/* Producing the library is enough: an operation would be loaded onto this machine's device, which refuses a foreign one. */
static af_status check(const af_vendor *v, af_job *job, const char *target) {
  char custom[64];
  if (target && *target) {
    if (!target_name_ok(target))
      return AF_FAIL(AF_E_ARGUMENT, "compile check: \"%.32s\" is not a target name such as h13", target);
    if (!v->e5rt_e5_compiler_options_set_custom_ane_compiler_options)
      return AF_FAIL(AF_E_MISSING,
                     "compile check for %s: the provider lacks e5rt_e5_compiler_options_set_custom_ane_compiler_options",
                     target);
    snprintf(custom, sizeof custom, "TargetArchitecture=%s", target);
    job->custom = custom;
  }
  af_chain chain;
  af_status status = af_chain_compile(v, job, &chain);
  if (status == AF_OK) af_chain_release(v, &chain);
  return status;
}

af_status af_compile_check(af_device *device, const char *mil_path, const char *cache_dir, uint64_t device_mask,
                           const char *target) {
  af_job job = {.mil_path = mil_path, .cache_dir = cache_dir, .mask = device_mask};
  af_status status = af_job_check(&job);
  if (status != AF_OK) return status;
  if (!af_device_enter(device)) return AF_E_ARGUMENT;
  status = check(&device->vendor, &job, target);
  af_device_leave(device);
  return status;
}
