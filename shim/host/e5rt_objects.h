/* e5rt_objects.h - what is behind the handles of the e5rt front. References go from the later object to the earlier one:
 * stream -> operation -> library, port -> operation, operation -> buffers and events. So a parent may be released before its
 * child. */
#ifndef ANEFORGE_HOST_E5RT_OBJECTS_H
#define ANEFORGE_HOST_E5RT_OBJECTS_H

#include <pthread.h>

#include "engine.h"
#include "handles.h"

enum {
  LOADED_PROGRAMS = 128, /* operations alive in one process */
  IN_FLIGHT = 127,       /* submits waiting on one stream */
  NAME_SIZE = 64,
};

/* -- e5rt_compiler.c ---------------------------------------------------------------------------------------------------- */

typedef struct {
  host_object object;
  char *cache; /* directory, NULL until set */
} config;

typedef struct {
  host_object object;
  char *cache;
} compiler;

typedef struct {
  host_object object;
  uint64_t mask;
  char target[NAME_SIZE]; /* "" = this machine */
} options;

typedef struct {
  host_object object;
  engine_program *program;
  pthread_mutex_t mutex; /* the engine runs a program once at a time */
} library;

typedef struct {
  host_object object;
  library *library;
} function;

/* -- e5rt_operation.c --------------------------------------------------------------------------------------------------- */

typedef struct {
  host_object object;
  library *library;
} op_options;

typedef struct {
  host_object object;
  void *data;
  uint64_t size;
  uint32_t type;
  atomic_uint encoded; /* encoded operations that use it */
} buffer;

typedef struct stream stream;
typedef struct event event;

enum operation_state { OP_FRESH, OP_ENCODED, OP_RESET, OP_PREPARED };

typedef struct {
  host_object object;
  library *library;
  enum operation_state state;
  stream *stream; /* while encoded; the stream holds the reference */
  size_t n_inputs, n_outputs;
  buffer **buffers; /* inputs, then outputs; NULL = unbound */
  void **data;      /* their memory, from encode on */
  event *completion;
  event **dependent;
  uint64_t n_dependent;
} operation;

typedef struct {
  host_object object;
  operation *operation;
  size_t index; /* in operation->buffers */
} port;

/* Fails when the library is for a foreign target. */
e5rt_error_code_t library_check_loadable(library *l, const char *call);
/* Every port has a buffer that is large enough; pointers are taken. 0 = ready. */
e5rt_error_code_t operation_bind_memory(operation *op, const char *call);
/* Counts the operation's buffers and event as used by an encoded operation (+1) or no longer (-1). */
void operation_mark_encoded(operation *op, int change);
/* 0 = ran, else the failure is in error. */
int operation_run(operation *op, char *error, size_t error_size);

/* -- e5rt_event.c ------------------------------------------------------------------------------------------------------- */

struct event {
  host_object object;
  char name[NAME_SIZE];
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  uint64_t value, future; /* signalled so far; what a wait waits for */
  bool submitted;         /* a wait will end */
  e5rt_error_code_t error; /* of the run that signalled last */
  char reason[2048];
  atomic_uint encoded;
};

/* A submitted run will signal the event. */
void event_expect(event *e);
/* The run ended; reason is NULL when it went well. */
void event_signal(event *e, const char *reason);
/* A later failure of the run that has signalled already. */
void event_fail(event *e, const char *reason);

#endif
