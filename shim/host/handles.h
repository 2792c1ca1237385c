/* handles.h - objects of the e5rt front and the handles the caller holds on them.
 *
 * A handle is not an address: it carries a mark, the type, a slot and the generation of the slot. Every call looks its
 * handles up here before it touches anything, so a wrong, stale or invented one is recognised, never followed. An object
 * lives while its handle or another object refers to it. */
#ifndef ANEFORGE_HOST_HANDLES_H
#define ANEFORGE_HOST_HANDLES_H

#include <stdatomic.h>
#include <stddef.h>

#include "strict.h"

/* Types: constant, name, destructor. */
#define HOST_TYPES(X) \
  X(CONFIG, "config options", config_destroy) \
  X(COMPILER, "compiler", compiler_destroy) \
  X(OPTIONS, "compiler options", options_destroy) \
  X(LIBRARY, "library", library_destroy) \
  X(FUNCTION, "function", function_destroy) \
  X(OP_OPTIONS, "operation options", op_options_destroy) \
  X(OPERATION, "operation", operation_destroy) \
  X(PORT, "port", port_destroy) \
  X(BUFFER, "buffer", buffer_destroy) \
  X(EVENT, "event", event_destroy) \
  X(STREAM, "stream", stream_destroy)

#define HOST_TYPE_CONSTANT(constant, name, destructor) TYPE_##constant,
enum host_type { TYPE_NONE, HOST_TYPES(HOST_TYPE_CONSTANT) N_TYPES };

#define HOST_TYPE_DESTRUCTOR(constant, name, destructor) void destructor(void *object);
HOST_TYPES(HOST_TYPE_DESTRUCTOR)

/* First member of every object. */
typedef struct {
  enum host_type type;
  atomic_uint references;
} host_object;

/* A zeroed object with one reference. NULL with the failure set. */
void *object_new(enum host_type type, size_t size, const char *call);
void *object_retain(void *object);
void object_drop(void *object); /* NULL-safe */

/* Gives the caller's reference of a new object away as a handle. On failure the object is dropped. */
e5rt_error_code_t handle_give(void *object, void **out, const char *call);

/* The object behind a handle of this type, or NULL with the failure set; host_error_code() is the code to return. */
void *handle_get(void *handle, enum host_type type, const char *call);

/* For release calls, which take the address of the handle: the object behind it, still alive. */
void *handle_get_for_release(void **handle, enum host_type type, const char *call);
/* Ends the handle and drops its reference. */
void handle_end(void *handle);
/* Both in one, where nothing stands against the release. */
e5rt_error_code_t handle_release(void **handle, enum host_type type, const char *call);

/* Other arguments: not NULL and not a handle. A result variable is set to NULL. 0 = fine. */
e5rt_error_code_t check_pointer(const void *pointer, const char *what, const char *call);
e5rt_error_code_t check_out(void **out, const char *call);

/* Number of live handles; appends "2 buffer, 1 event" to text. */
unsigned handles_live_text(char *text, size_t size);

#endif
