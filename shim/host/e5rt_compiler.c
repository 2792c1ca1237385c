/* e5rt_compiler.c - e5rt: configuration, compiler, compiler options, library, function. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "e5rt_objects.h"

E5RT_SYMBOLS(E5RT_DECLARE)

enum { MASK_ANE = 4, MASK_ALL = 7 };

void config_destroy(void *object) { free(((config *)object)->cache); }
void compiler_destroy(void *object) { free(((compiler *)object)->cache); }
void options_destroy(void *object) { (void)object; }

void library_destroy(void *object) {
  library *l = object;
  engine_release(l->program);
  pthread_mutex_destroy(&l->mutex);
}

void function_destroy(void *object) { object_drop(((function *)object)->library); }

/* -- configuration -------------------------------------------------------------------------------------------------------- */

e5rt_error_code_t e5rt_e5_compiler_config_options_create(void **out) {
  if (check_out(out, __func__)) return host_error_code();
  config *c = object_new(TYPE_CONFIG, sizeof *c, __func__);
  return c ? handle_give(c, out, __func__) : host_error_code();
}

e5rt_error_code_t e5rt_e5_compiler_config_options_release(void **obj) { return handle_release(obj, TYPE_CONFIG, __func__); }

e5rt_error_code_t e5rt_e5_compiler_config_options_set_cache_bundle_location(void *obj, const char *path) {
  config *c = handle_get(obj, TYPE_CONFIG, __func__);
  if (!c || check_pointer(path, "path", __func__)) return host_error_code();
  char *copy = strdup(path);
  if (!copy) return host_fail(HOST_E_MEMORY, __func__, "out of memory");
  free(c->cache);
  c->cache = copy;
  return HOST_OK;
}

e5rt_error_code_t e5rt_e5_compiler_config_options_set_bundle_cache_apfs_purgeable(void *obj, int value) {
  if (!handle_get(obj, TYPE_CONFIG, __func__)) return host_error_code();
  if (value != 0 && value != 1) return host_refuse(RULE_VALUE, __func__, "%d is neither 0 nor 1", value);
  return HOST_OK; /* nothing is kept in the cache */
}

/* -- compiler ------------------------------------------------------------------------------------------------------------ */

e5rt_error_code_t e5rt_e5_compiler_create(void **out_compiler) {
  if (check_out(out_compiler, __func__)) return host_error_code();
  compiler *c = object_new(TYPE_COMPILER, sizeof *c, __func__);
  return c ? handle_give(c, out_compiler, __func__) : host_error_code();
}

e5rt_error_code_t e5rt_e5_compiler_create_with_config(void **out_compiler, void *handle) {
  if (check_out(out_compiler, __func__)) return host_error_code();
  config *from = handle_get(handle, TYPE_CONFIG, __func__);
  if (!from) return host_error_code();
  compiler *c = object_new(TYPE_COMPILER, sizeof *c, __func__);
  if (!c) return host_error_code();
  if (from->cache && !(c->cache = strdup(from->cache))) {
    object_drop(c);
    return host_fail(HOST_E_MEMORY, __func__, "out of memory");
  }
  return handle_give(c, out_compiler, __func__);
}

e5rt_error_code_t e5rt_e5_compiler_release(void **obj) { return handle_release(obj, TYPE_COMPILER, __func__); }

static e5rt_error_code_t check_cache(const char *cache, const char *call) {
  struct stat info;
  if (!cache) return HOST_OK;
  if (stat(cache, &info) == 0 && S_ISDIR(info.st_mode)) return HOST_OK;
  return host_fail(HOST_E_COMPILE, call, "the cache location %s is not a directory", cache);
}

e5rt_error_code_t e5rt_e5_compiler_compile(void *handle, const char *path, void *options_handle, void **out_library) {
  compiler *c = handle_get(handle, TYPE_COMPILER, __func__);
  if (!c || check_pointer(path, "path", __func__)) return host_error_code();
  options *o = handle_get(options_handle, TYPE_OPTIONS, __func__);
  if (!o || check_out(out_library, __func__)) return host_error_code();
  if (!(o->mask & MASK_ANE))
    return host_fail(HOST_E_COMPILE, __func__, "device mask 0x%llx leaves out the ANE (0x4), the only device this library "
                     "stands in for", (unsigned long long)o->mask);
  if (check_cache(c->cache, __func__)) return host_error_code();
  library *l = object_new(TYPE_LIBRARY, sizeof *l, __func__);
  if (!l) return host_error_code();
  char reason[4096] = "";
  l->program = engine_compile(path, o->target, reason, sizeof reason);
  if (!l->program) {
    free(l); /* not an object yet: there is nothing to destroy */
    return host_fail(HOST_E_COMPILE, __func__, "%s", *reason ? reason : "the program was refused");
  }
  pthread_mutex_init(&l->mutex, NULL);
  return handle_give(l, out_library, __func__);
}

/* -- compiler options ---------------------------------------------------------------------------------------------------- */

e5rt_error_code_t e5rt_e5_compiler_options_create(void **out) {
  if (check_out(out, __func__)) return host_error_code();
  options *o = object_new(TYPE_OPTIONS, sizeof *o, __func__);
  if (!o) return host_error_code();
  o->mask = MASK_ALL;
  return handle_give(o, out, __func__);
}

e5rt_error_code_t e5rt_e5_compiler_options_release(void **obj) { return handle_release(obj, TYPE_OPTIONS, __func__); }

/* BNNS 1, GPU 2, ANE 4. A mask without the ANE is refused by compile: callers do not look at this result. */
e5rt_error_code_t e5rt_e5_compiler_options_set_compute_device_types_mask(void *obj, uint64_t mask) {
  options *o = handle_get(obj, TYPE_OPTIONS, __func__);
  if (!o) return host_error_code();
  if (mask == 0 || mask > MASK_ALL)
    return host_refuse(RULE_VALUE, __func__, "mask 0x%llx is not a union of 1, 2 and 4", (unsigned long long)mask);
  o->mask = mask;
  return HOST_OK;
}

e5rt_error_code_t e5rt_e5_compiler_options_get_compute_device_types_mask(void *obj, uint64_t *out) {
  options *o = handle_get(obj, TYPE_OPTIONS, __func__);
  if (!o || check_pointer(out, "result variable", __func__)) return host_error_code();
  *out = o->mask;
  return HOST_OK;
}

static e5rt_error_code_t set_flag(void *obj, int value, const char *call) {
  if (!handle_get(obj, TYPE_OPTIONS, call)) return host_error_code();
  if (value != 0 && value != 1) return host_refuse(RULE_VALUE, call, "%d is neither 0 nor 1", value);
  return HOST_OK;
}

/* Every compile reads the program anew. */
e5rt_error_code_t e5rt_e5_compiler_options_set_force_recompilation(void *obj, int value) {
  return set_flag(obj, value, __func__);
}

/* There are no performance counters to switch on. */
e5rt_error_code_t e5rt_e5_compiler_options_set_enable_profiling(void *obj, int value) { return set_flag(obj, value, __func__); }

e5rt_error_code_t e5rt_e5_compiler_options_set_force_bnns_graph(void *obj, int value) {
  e5rt_error_code_t err = set_flag(obj, value, __func__);
  if (err || !value) return err;
  return host_fail(HOST_E_UNSUPPORTED, __func__, "this library stands in for the ANE only");
}

e5rt_error_code_t e5rt_e5_compiler_options_set_segmenter(void *obj, const char *value) {
  options *o = handle_get(obj, TYPE_OPTIONS, __func__);
  if (!o || check_pointer(value, "segmenter", __func__)) return host_error_code();
  if (strcmp(value, "graph") != 0) return host_refuse(RULE_VALUE, __func__, "segmenter \"%.64s\", known is \"graph\"", value);
  return HOST_OK;
}

/* "TargetArchitecture=<arch>", nothing else is known. An arch the compiler does not know compiles for this machine. */
e5rt_error_code_t e5rt_e5_compiler_options_set_custom_ane_compiler_options(void *obj, const char *value) {
  static const char key[] = "TargetArchitecture=";
  options *o = handle_get(obj, TYPE_OPTIONS, __func__);
  if (!o || check_pointer(value, "option string", __func__)) return host_error_code();
  if (*value && strncmp(value, key, sizeof key - 1) != 0)
    return host_refuse(RULE_VALUE, __func__, "\"%.64s\" is not TargetArchitecture=<arch>", value);
  const char *target = *value ? value + sizeof key - 1 : "";
  if (strlen(target) >= sizeof o->target) return host_refuse(RULE_VALUE, __func__, "the target name is too long");
  strcpy(o->target, target);
  return HOST_OK;
}

/* -- library and function ------------------------------------------------------------------------------------------------ */

e5rt_error_code_t e5rt_program_library_create(void **out_library, const char *bundle_path) {
  if (check_out(out_library, __func__) || check_pointer(bundle_path, "bundle path", __func__)) return host_error_code();
  return host_fail(HOST_E_UNSUPPORTED, __func__, "Invalid E5 path specified. @ GetE5PathFromCompositeBundle: %s (this library "
                   "writes no bundles, compile the MIL file)", bundle_path);
}

e5rt_error_code_t e5rt_program_library_release(void **obj) { return handle_release(obj, TYPE_LIBRARY, __func__); }

e5rt_error_code_t e5rt_program_library_retain_program_function(void *handle, const char *name, void **out) {
  library *l = handle_get(handle, TYPE_LIBRARY, __func__);
  if (!l || check_pointer(name, "function name", __func__) || check_out(out, __func__)) return host_error_code();
  if (strcmp(name, "main") != 0) return host_fail(HOST_E_ARGUMENT, __func__, "no function \"%.64s\", there is \"main\"", name);
  function *f = object_new(TYPE_FUNCTION, sizeof *f, __func__);
  if (!f) return host_error_code();
  f->library = object_retain(l);
  return handle_give(f, out, __func__);
}

e5rt_error_code_t e5rt_program_library_get_num_functions(void *handle, uint64_t *out) {
  if (!handle_get(handle, TYPE_LIBRARY, __func__) || check_pointer(out, "result variable", __func__)) return host_error_code();
  *out = 1;
  return HOST_OK;
}

e5rt_error_code_t e5rt_program_library_get_function_names(void *handle, uint64_t count, const char **names) {
  if (!handle_get(handle, TYPE_LIBRARY, __func__) || check_pointer(names, "name list", __func__)) return host_error_code();
  if (count != 1) return host_fail(HOST_E_ARGUMENT, __func__, "%llu names asked for, there is 1", (unsigned long long)count);
  names[0] = "main";
  return HOST_OK;
}

e5rt_error_code_t e5rt_program_function_release(void **obj) { return handle_release(obj, TYPE_FUNCTION, __func__); }

e5rt_error_code_t e5rt_program_function_get_name(void *handle, const char **out) {
  if (!handle_get(handle, TYPE_FUNCTION, __func__) || check_pointer(out, "result variable", __func__)) return host_error_code();
  *out = "main";
  return HOST_OK;
}

e5rt_error_code_t e5rt_program_function_load_for_execution(void *handle) {
  function *f = handle_get(handle, TYPE_FUNCTION, __func__);
  if (!f) return host_error_code();
  return library_check_loadable(f->library, __func__);
}
