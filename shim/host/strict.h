/* strict.h - failures of the e5rt front: error codes, the text of the last failure, and the rules of use.
 *
 * A failure is either an error of the world (host_fail: no such file, the program cap, ...) or a misuse of the interface
 * (host_refuse: one of the rules below). With ANEFORGE_HOST_STRICT=1 a misuse ends the process:
 *   aneforge host strict: <rule-id>: <text>
 * otherwise it is an error code with the same text. */
#ifndef ANEFORGE_HOST_STRICT_H
#define ANEFORGE_HOST_STRICT_H

#include <stdbool.h>

#include "../e5rt.h"

/* Apple's numbers are not public; these are ours. */
enum host_error {
  HOST_OK = 0,
  HOST_E_ARGUMENT = 1,    /* NULL, out of range, a name that does not exist */
  HOST_E_HANDLE = 2,      /* not a handle, a handle of another type, a released handle */
  HOST_E_STATE = 3,       /* the object is not in the state this call needs */
  HOST_E_COMPILE = 4,     /* the program is not accepted */
  HOST_E_LOAD = 5,        /* foreign target, program cap */
  HOST_E_EXECUTE = 6,     /* the engine failed */
  HOST_E_MEMORY = 7,      /* out of memory or handles */
  HOST_E_UNSUPPORTED = 8, /* exists at Apple's, has no meaning here */
};

/* Rules of use: constant, id, error code without strict mode, text. */
#define HOST_RULES(X) \
  X(NULL_ARGUMENT, "null-argument", HOST_E_ARGUMENT, "a pointer that must not be NULL is NULL") \
  X(VALUE, "option-value", HOST_E_ARGUMENT, "an option has a value that means nothing") \
  X(UNKNOWN, "handle-unknown", HOST_E_HANDLE, "the pointer is not a handle of this library") \
  X(TYPE, "handle-type", HOST_E_HANDLE, "a handle of another type: swapped arguments, or a handle where its address belongs") \
  X(RELEASED, "handle-released", HOST_E_HANDLE, "the handle was used after its release") \
  X(DOUBLE_RELEASE, "handle-double-release", HOST_E_HANDLE, "the handle was released twice") \
  X(EVENT_NAME, "event-name-null", HOST_E_ARGUMENT, "an event needs a name") \
  X(EVENT_UNSUBMITTED, "event-unsubmitted", HOST_E_STATE, "nothing that was submitted signals the event, the wait would not end") \
  X(EVENT_FUTURE, "event-future-past", HOST_E_ARGUMENT, "the future value of an event lies behind its value") \
  X(EVENT_IN_USE, "event-in-use", HOST_E_STATE, "an event was released while an encoded operation signals it") \
  X(EVENT_AFTER_ENCODE, "event-after-encode", HOST_E_STATE, "events are bound before the operation is encoded") \
  X(BLOCK_NULL, "block-null", HOST_E_ARGUMENT, "submit_async needs a completion block") \
  X(BLOCK_MALFORMED, "block-malformed", HOST_E_ARGUMENT, "isa, flags, descriptor or signature of the block is wrong; it must be e5rt_error_code_t (^)(void)") \
  X(BLOCK_ON_STACK, "block-on-stack", HOST_E_ARGUMENT, "the completion block must be copied to the heap with _Block_copy") \
  X(BLOCK_RELEASED, "block-released", HOST_E_HANDLE, "a heap block was used or released after its last release") \
  X(PORT_UNBOUND, "port-unbound", HOST_E_STATE, "a port has no buffer") \
  X(BUFFER_SMALL, "buffer-small", HOST_E_ARGUMENT, "the buffer of a port holds less than the port, rounded up to 64 bytes") \
  X(BUFFER_IN_USE, "buffer-in-use", HOST_E_STATE, "a buffer was released while an encoded operation reads or writes it") \
  X(BIND_AFTER_ENCODE, "bind-after-encode", HOST_E_STATE, "buffers are bound before the operation is encoded") \
  X(ENCODE_TWICE, "encode-twice", HOST_E_STATE, "an encoded operation is encoded again without a reset of its stream") \
  X(ENCODE_UNPREPARED, "encode-unprepared", HOST_E_STATE, "after a reset an operation is prepared before it is encoded again") \
  X(PREPARE_NEVER_ENCODED, "prepare-never-encoded", HOST_E_STATE, "only an operation that was encoded can be prepared") \
  X(PREPARE_BEFORE_RESET, "prepare-before-reset", HOST_E_STATE, "the stream is reset before its operations are prepared") \
  X(OPERATION_IN_USE, "operation-in-use", HOST_E_STATE, "an operation was released while it is encoded on a stream") \
  X(RESET_FRESH, "reset-fresh", HOST_E_STATE, "a stream that was never used cannot be reset") \
  X(STREAM_EMPTY, "stream-empty", HOST_E_STATE, "the stream has no encoded operation to run") \
  X(STREAM_IN_FLIGHT, "stream-in-flight", HOST_E_STATE, "the stream has work in flight") \
  X(STREAM_IN_BLOCK, "stream-in-block", HOST_E_STATE, "a completion block must not wait for or release its own stream") \
  X(LEAK, "leak-at-exit", HOST_E_STATE, "handles or blocks are alive at exit")

#define HOST_RULE_CONSTANT(constant, id, code, text) RULE_##constant,
enum host_rule { HOST_RULES(HOST_RULE_CONSTANT) N_RULES };

/* ANEFORGE_HOST_STRICT, read once. */
bool host_strict(void);

/* Both leave "<call>: <text>" for aneforge_host_error_text() and return the code. */
e5rt_error_code_t host_fail(enum host_error code, const char *call, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
e5rt_error_code_t host_refuse(enum host_rule rule, const char *call, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Code of the last failure on this thread. */
e5rt_error_code_t host_error_code(void);
/* Takes over a failure that happened on another thread. */
e5rt_error_code_t host_fail_again(e5rt_error_code_t code, const char *text);

/* Why the last failing call on this thread failed. */
E5RT_EXPORT const char *aneforge_host_error_text(void);
/* One line per rule: "<id>\t<text>\n". */
E5RT_EXPORT const char *aneforge_host_strict_rules(void);

#endif
