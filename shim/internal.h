/* internal.h - what the files of the shim share. */
#ifndef ANEFORGE_INTERNAL_H
#define ANEFORGE_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "aneforge.h"
#include "e5rt.h"

/* -- error.c: the failure text and status of the calling thread ------------------------------------------------------ */

enum { AF_ERROR_SIZE = 6144 };

char *af_error_buffer(void);
af_status af_error_set(af_status status); /* returns status */
af_status af_error_status(void);

/* AF_FAIL(AF_E_STATE, "text %d", n): writes the text, gives the status. */
#define AF_FAIL(status, ...) (snprintf(af_error_buffer(), AF_ERROR_SIZE, __VA_ARGS__), af_error_set(status))

/* -- provider.c: the vendor's functions -------------------------------------------------------------------------------- */

#define AF_FIELD_REQUIRED(result, name, parameters) result(*name) parameters;
#define AF_FIELD_OPTIONAL(result, name, parameters) result(*name) parameters;
#define AF_FIELD_UNUSED(result, name, parameters)
#define AF_FIELD(need, result, name, parameters) AF_FIELD_##need(result, name, parameters)

/* Resolved functions of one provider. Optional ones may be NULL. */
typedef struct {
  E5RT_SYMBOLS(AF_FIELD)
  void *(*block_copy)(const void *block);
  void (*block_release)(const void *block);
  void *stack_block; /* address of the class _NSConcreteStackBlock: the isa of a block on the stack */
  const char *(*error_text)(void);
  e5rt_explain_fn *explain;
  e5rt_report_fn *report;
} af_vendor;

struct af_device {
  af_vendor vendor;
  char *provider, *library, *info;
  uint32_t opens, programs; /* guarded by the device list's mutex */
  af_device *next;
};

/* Checks that a pointer from outside is an open device and counts a program on it. NULL: no such device. */
af_device *af_device_enter(af_device *device);
void af_device_leave(af_device *device);

/* "<step>: <call> failed with <code>: <detail>"; code 0 means the call succeeded but gave no handle. */
af_status af_vendor_failed(const af_vendor *vendor, af_status status, const char *step, const char *call, int64_t code);

/* -- compile.c: from a MIL file to an operation -------------------------------------------------------------------------- */

/* Handles in the order they are made. */
typedef struct {
  void *config, *compiler, *options, *library, *function, *op_options, *operation;
} af_chain;

typedef struct {
  const char *mil_path, *cache_dir;
  const char *custom; /* custom compiler options or NULL */
  uint64_t mask;
  bool profile;
} af_job;

af_status af_job_check(const af_job *job);
/* MIL file -> library. On failure the chain is released. */
af_status af_chain_compile(const af_vendor *vendor, const af_job *job, af_chain *chain);
/* library -> operation; then options, compiler and config are released. On failure the chain is released. */
af_status af_chain_load(const af_vendor *vendor, af_chain *chain);
/* Releases what exists: operation, op options, function, library, options, compiler, config. */
void af_chain_release(const af_vendor *vendor, af_chain *chain);
/* Releases and clears a handle that exists. */
void af_drop(e5rt_error_code_t (*release)(void **), void **handle);

/* -- program.c ----------------------------------------------------------------------------------------------------------- */

typedef struct {
  char *name;
  void *port, *buffer, *data; /* buffer is NULL after af_share_buffer: the output owns it */
  uint64_t elements;
  uint32_t dtype;
} af_port;

/* A loaded program. */
typedef struct {
  af_device *device;
  const af_vendor *vendor;
  af_chain chain;
  void *event, *stream;
  af_port *input, *output;
  uint32_t n_inputs, n_outputs;
  bool encoded;
  char *names;
  /* asynchronous run */
  void *block;
  uint64_t signaled;
  char error[AF_ERROR_SIZE];
} af_body;

/* A program handle is not an address: it names a slot and a generation, so a stale or invented one is recognised without
 * being followed. Slots live for ever; their mutex guards the flight fields. */
typedef struct {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  af_body *body;
  uint32_t generation; /* of the live program; 0 = free */
  uint32_t last;       /* generation given out last */
  bool ready;          /* mutex and condition exist */
  /* flight: a submit that has not been waited for */
  uint64_t serial; /* number of the flight, so that a late completion of an older one is ignored */
  uint8_t flying;  /* atomic */
  bool waiting, done;
} af_slot;

/* slot.c: the table behind the handles */
af_program *af_slot_take(af_body *body);                            /* NULL when the table is full */
af_slot *af_slot_find(const af_program *program, const char *call); /* NULL with the failure set */
af_slot *af_slot_lock(const af_program *program, const char *call); /* the same, with the slot's mutex held */
af_slot *af_slot_close(af_program *program);                        /* NULL: not live. After it no call finds the slot */
void af_slot_free(af_slot *slot);


uint64_t af_port_bytes(const af_port *port); /* elements * element size */
const char *af_dtype_name(uint32_t dtype);

/* run.c: a live program that is not in flight; NULL with the failure set */
af_body *af_enter(af_program *program, const char *call);
/* run.c: keeps the failure text for af_program_error(); returns status */
af_status af_keep(af_body *body, af_status status);
/* run.c: ends a flight of a closed slot: waits for it, or for the af_wait() that does */
void af_flight_end(af_slot *slot);

/* -- block.c: the completion block of a submit ----------------------------------------------------------------------------- */

/* A heap block whose call marks flight `serial` of the slot done. Released with vendor->block_release. NULL: no memory. */
void *af_block_make(const af_vendor *vendor, af_slot *slot, uint64_t serial);
void af_block_signal(af_slot *slot, uint64_t serial);

/* -- convert_avx2.c ---------------------------------------------------------------------------------------------------------- */

void af_convert_to_f16_avx2(uint16_t *dst, const float *src, uint64_t n);
void af_convert_to_f32_avx2(float *dst, const uint16_t *src, uint64_t n);

#endif
