/* e5rt.h - the vendor's C interface (Espresso.framework), one row per function: need, result, name, parameters.
 *
 * The shim resolves the rows at run time, the host library declares its exports from them: one table, no drift.
 *
 *   REQUIRED  compiling, binding and running a program needs it
 *   OPTIONAL  looked up; without it one feature is missing
 *   UNUSED    part of the interface, never called by the shim; only the host library exports it
 *
 * Conventions: 0 is success. All handles are void pointers. Every create and the buffer alloc write their result through
 * the FIRST parameter; compile, retain_* and get_* through the LAST. A release takes the address of the handle variable.
 */
#ifndef ANEFORGE_E5RT_H
#define ANEFORGE_E5RT_H

#include <stdint.h>

typedef int64_t e5rt_error_code_t;

/* clang-format off */
#define E5RT_SYMBOLS(X) \
  /* compiler configuration and compiler */ \
  X(REQUIRED, e5rt_error_code_t, e5rt_e5_compiler_config_options_create, (void **out)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_e5_compiler_config_options_release, (void **obj)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_e5_compiler_config_options_set_cache_bundle_location, (void *obj, const char *path)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_e5_compiler_config_options_set_bundle_cache_apfs_purgeable, (void *obj, int value)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_e5_compiler_create, (void **out_compiler)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_e5_compiler_create_with_config, (void **out_compiler, void *config)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_e5_compiler_release, (void **obj)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_e5_compiler_compile, (void *compiler, const char *path, void *options, void **out_library)) \
  /* compiler options */ \
  X(REQUIRED, e5rt_error_code_t, e5rt_e5_compiler_options_create, (void **out)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_e5_compiler_options_release, (void **obj)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_e5_compiler_options_set_compute_device_types_mask, (void *obj, uint64_t mask)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_e5_compiler_options_get_compute_device_types_mask, (void *obj, uint64_t *out)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_e5_compiler_options_set_force_recompilation, (void *obj, int value)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_e5_compiler_options_set_segmenter, (void *obj, const char *value)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_e5_compiler_options_set_force_bnns_graph, (void *obj, int value)) \
  X(OPTIONAL, e5rt_error_code_t, e5rt_e5_compiler_options_set_custom_ane_compiler_options, (void *obj, const char *value)) \
  X(OPTIONAL, e5rt_error_code_t, e5rt_e5_compiler_options_set_enable_profiling, (void *obj, int value)) \
  /* program library and function */ \
  X(UNUSED,   e5rt_error_code_t, e5rt_program_library_create, (void **out_library, const char *bundle_path)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_program_library_release, (void **obj)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_program_library_retain_program_function, (void *library, const char *name, void **out)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_program_library_get_num_functions, (void *library, uint64_t *out)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_program_library_get_function_names, (void *library, uint64_t count, const char **names)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_program_function_release, (void **obj)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_program_function_get_name, (void *function, const char **out)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_program_function_load_for_execution, (void *function)) \
  /* options of a precompiled compute operation */ \
  X(REQUIRED, e5rt_error_code_t, e5rt_precompiled_compute_op_create_options_create_with_program_function, (void **out_options, void *function)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_precompiled_compute_op_create_options_release, (void **obj)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_precompiled_compute_op_create_options_set_operation_name, (void *obj, const char *name)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_precompiled_compute_op_create_options_set_allocate_intermediate_buffers, (void *obj, int value)) \
  /* operation */ \
  X(REQUIRED, e5rt_error_code_t, e5rt_execution_stream_operation_create_precompiled_compute_operation_with_options, (void **out_operation, void *options)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_execution_stream_operation_release, (void **obj)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_execution_stream_operation_retain_input_port, (void *operation, const char *name, void **out_port)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_execution_stream_operation_retain_output_port, (void *operation, const char *name, void **out_port)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_execution_stream_operation_prepare_op_for_encode, (void *operation)) \
  X(OPTIONAL, e5rt_error_code_t, e5rt_execution_stream_operation_bind_completion_event, (void *operation, void *event)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_execution_stream_operation_bind_dependent_events, (void *operation, void **events, uint64_t count)) \
  /* port and buffer */ \
  X(REQUIRED, e5rt_error_code_t, e5rt_io_port_release, (void **obj)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_io_port_bind_buffer_object, (void *port, void *buffer)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_buffer_object_alloc, (void **out_buffer, uint64_t size, uint32_t type)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_buffer_object_release, (void **obj)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_buffer_object_get_data_ptr, (void *buffer, void **out)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_buffer_object_get_size, (void *buffer, uint64_t *out)) \
  /* stream. block is an Objective-C block, e5rt_error_code_t (^)(void) */ \
  X(REQUIRED, e5rt_error_code_t, e5rt_execution_stream_create, (void **out_stream)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_execution_stream_release, (void **obj)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_execution_stream_encode_operation, (void *stream, void *operation)) \
  X(REQUIRED, e5rt_error_code_t, e5rt_execution_stream_execute_sync, (void *stream)) \
  X(OPTIONAL, e5rt_error_code_t, e5rt_execution_stream_submit_async, (void *stream, void *block)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_execution_stream_async_submit, (void *stream)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_execution_stream_reset, (void *stream)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_execution_stream_set_quality_of_service, (void *stream, uint64_t qos)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_execution_stream_set_ane_execution_priority, (void *stream, uint64_t priority)) \
  /* event */ \
  X(OPTIONAL, e5rt_error_code_t, e5rt_async_event_create, (void **out_event, const char *name, uint32_t initial_value)) \
  X(OPTIONAL, e5rt_error_code_t, e5rt_async_event_release, (void **obj)) \
  X(OPTIONAL, e5rt_error_code_t, e5rt_async_event_sync_wait, (void *event)) \
  X(OPTIONAL, e5rt_error_code_t, e5rt_async_event_get_last_signaled_value, (void *event, uint64_t *out)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_async_event_set_active_future_value, (void *event, uint64_t value)) \
  X(UNUSED,   e5rt_error_code_t, e5rt_async_event_signal, (void *event))
/* clang-format on */

/* Exported, and never replaced by a symbol of the same name in the program that loads the library. */
#if defined(__ELF__)
#define E5RT_EXPORT __attribute__((visibility("protected")))
#else
#define E5RT_EXPORT __attribute__((visibility("default")))
#endif

/* E5RT_SYMBOLS(E5RT_DECLARE): prototypes of all rows, for a library that implements them. */
#define E5RT_DECLARE(need, result, name, parameters) E5RT_EXPORT result name parameters;

/* Optional export of an implementation: why the last call on this thread failed. Apple's has none. */
#define E5RT_ERROR_TEXT_SYMBOL "aneforge_host_error_text"

/* Optional exports of an implementation that shows its work; Apple's does not. Text goes to a buffer of the caller,
 * NUL-terminated and cut to size bytes; the result is its full length, or -1 with the reason as the text.
 *   explain  the plan of a program file for a target (NULL or "": this machine's): steps, fused groups, memory
 *   report   one run of a program file, operation by operation, with what the arithmetic lost: a line per operation. data
 *            holds the inputs in port order one behind the other, bytes[i] each */
#define E5RT_EXPLAIN_SYMBOL "aneforge_host_explain"
#define E5RT_REPORT_SYMBOL "aneforge_host_report"
typedef int64_t e5rt_explain_fn(const char *mil_path, const char *target, char *text, uint64_t size);
typedef int64_t e5rt_report_fn(const char *mil_path, uint32_t n_inputs, const void *data, const uint64_t *bytes, char *text,
                               uint64_t size);

#endif
