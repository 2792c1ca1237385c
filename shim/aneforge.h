/* aneforge.h - the af_* ABI: all that crosses the border between TypeScript and C.
 *
 * The shim opens a provider ("ane": Apple's frameworks, "host": libaneforge_host), resolves every vendor symbol at run
 * time, and turns a MIL file into a program with named, sized ports.
 *
 * Rules
 *  - Functions that can fail return af_status, or NULL where they return a handle. The text of the failure is
 *    af_last_error() on the calling thread; for af_wait(), which may run on another thread, it is af_program_error().
 *  - No allocation crosses the border: handles are closed by the function named beside them, buffers belong to the caller,
 *    port memory belongs to the program and dies with it.
 *  - Sizes from outside are never trusted: a count that does not match the port is AF_E_ARGUMENT, nothing is copied.
 *  - A program is single-threaded: calls on one program must not overlap, except af_wait() beside af_busy().
 *    Different programs may be used from different threads at once.
 */
#ifndef ANEFORGE_H
#define ANEFORGE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define AF_API __attribute__((visibility("default")))
#else
#define AF_API
#endif

/* Raised whenever a signature or a meaning below changes; the loader refuses any other number. */
#define AF_ABI_VERSION 1u

typedef struct af_device af_device;
typedef struct af_program af_program;

typedef int32_t af_status;
enum {
  AF_OK = 0,
  AF_E_ARGUMENT = 1, /* NULL, unknown port, wrong count, wrong dtype */
  AF_E_PROVIDER = 2, /* provider or a required symbol missing */
  AF_E_COMPILE = 3,  /* the vendor compiler refused the program */
  AF_E_LOAD = 4,     /* compiled, but not loadable: program cap, foreign target */
  AF_E_STATE = 5,    /* call not allowed now: released, already executed, in flight */
  AF_E_EXECUTE = 6,  /* the device reported a failure */
  AF_E_MEMORY = 7,   /* out of memory */
  AF_E_MISSING = 8,  /* an optional vendor symbol is needed and absent */
};

/* Element types of a port. */
enum { AF_FP16 = 0, AF_UINT8 = 1, AF_INT8 = 2, AF_UINT16 = 3, AF_INT16 = 4 };

/* Flags of af_program_compile(). */
enum { AF_PROFILE = 1 };

/* Device masks (set_compute_device_types_mask): BNNS 1, GPU 2, ANE 4. */
enum { AF_MASK_BNNS = 1, AF_MASK_GPU = 2, AF_MASK_ANE = 4 };

AF_API uint32_t af_abi_version(void);
AF_API const char *af_last_error(void);

/* -- Device -------------------------------------------------------------------------------------------------------- */

/* provider "ane" or "host". library: path of libaneforge_host for "host", NULL for "ane".
 * Opening the same provider twice returns the same device; close is counted. NULL on failure. */
AF_API af_device *af_device_open(const char *provider, const char *library);
AF_API void af_device_close(af_device *device);

/* Lines "key=value": provider, library, abi, one "symbol.<name>=found|missing-optional|missing-required" per symbol.
 * Valid until the device is closed. */
AF_API const char *af_device_info(af_device *device);

/* Programs alive in this process, all devices. */
AF_API uint32_t af_live_programs(void);

/* -- Program ------------------------------------------------------------------------------------------------------- */

/* Compile, load and bind. Ports come as three parallel arrays, inputs first, then outputs:
 *   names     NUL-terminated names one behind the other, names_bytes long in all
 *   dtypes    AF_* element types (outputs: AF_FP16)
 *   elements  element counts
 * cache_dir must exist. NULL on failure; released by af_program_release(). */
AF_API af_program *af_program_compile(af_device *device, const char *mil_path, const char *cache_dir,
                                      uint64_t device_mask, uint32_t flags, uint32_t n_inputs, uint32_t n_outputs,
                                      const char *names, uint64_t names_bytes, const uint32_t *dtypes,
                                      const uint64_t *elements);

/* Drops the program; waits for a submit that is still in flight. NULL-safe. */
AF_API void af_program_release(af_program *program);

/* Compile only, for "TargetArchitecture=<arch>" (target NULL or "": the host's). AF_OK: a library came out. */
AF_API af_status af_compile_check(af_device *device, const char *mil_path, const char *cache_dir, uint64_t device_mask,
                                  const char *target);

/* Inputs. n = element count, must equal the port's. fp32 goes to fp16 ports only, rounding to nearest even. */
AF_API af_status af_write_f32(af_program *program, uint32_t input, const float *data, uint64_t n);
AF_API af_status af_write_f16(af_program *program, uint32_t input, const uint16_t *data, uint64_t n);
/* Raw bytes for integer ports: bytes must equal elements * element size. */
AF_API af_status af_write_bytes(af_program *program, uint32_t input, const void *data, uint64_t bytes);

/* Outputs. n = element count, must equal the port's. */
AF_API af_status af_read_f32(af_program *program, uint32_t output, float *data, uint64_t n);
AF_API af_status af_read_f16(af_program *program, uint32_t output, uint16_t *data, uint64_t n);

/* A port's own memory: stable until share_buffer or release. NULL when there is no such port. */
AF_API void *af_input_data(af_program *program, uint32_t input);
AF_API void *af_output_data(af_program *program, uint32_t output);

/* Let an input read the memory of an output of the same program (resident state). Only before the first execute;
 * element counts and dtypes must match. The output owns the buffer from then on. */
AF_API af_status af_share_buffer(af_program *program, uint32_t output, uint32_t input);

/* Run once, blocking. */
AF_API af_status af_execute(af_program *program);

/* Run once without blocking: submit, then wait (from any thread) exactly once. */
AF_API af_status af_submit(af_program *program);
AF_API af_status af_wait(af_program *program);
/* 1 from af_submit() until af_wait() has the result; every other call that touches the ports or runs is AF_E_STATE then. */
AF_API uint32_t af_busy(af_program *program);

/* Copies the text of the program's last failure, NUL-terminated, at most size bytes. Returns the full length. */
AF_API uint64_t af_program_error(af_program *program, char *text, uint64_t size);

/* Value of the completion event when it was last looked at (submit and wait): the number of submits that ended. */
AF_API uint64_t af_signaled_value(af_program *program);

/* -- Inspection, where the provider allows it (AF_E_MISSING otherwise) ------------------------------------------------ */

/* Both give text in a buffer of the caller, NUL-terminated and cut to size bytes; *length is its full length. */

/* How the engine would run the program file: steps, fused groups, memory. target: as in af_compile_check. */
AF_API af_status af_explain(af_device *device, const char *mil_path, const char *target, char *text, uint64_t size,
                            uint64_t *length);
/* Runs the program file once, operation by operation, and counts what the arithmetic lost: a line per operation.
 * data: the inputs in port order one behind the other, bytes[i] each. */
AF_API af_status af_report(af_device *device, const char *mil_path, uint32_t n_inputs, const void *data,
                           const uint64_t *bytes, char *text, uint64_t size, uint64_t *length);

/* -- Conversion ------------------------------------------------------------------------------------------------------ */

/* Nearest even; overflow to infinity; NaN stays NaN. */
AF_API void af_f32_to_f16(uint16_t *dst, const float *src, uint64_t n);
AF_API void af_f16_to_f32(float *dst, const uint16_t *src, uint64_t n);

#endif
