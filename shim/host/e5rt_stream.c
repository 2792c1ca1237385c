/* e5rt_stream.c - e5rt: streams. A stream runs its encoded operations in encode order; asynchronous runs go through a queue
 * to one thread, started with the first of them. */
#include <stdlib.h>
#include <string.h>

#include "block_runtime.h"
#include "e5rt_objects.h"

E5RT_SYMBOLS(E5RT_DECLARE)

struct stream {
  host_object object;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  operation **ops;
  size_t n_ops, room;
  bool used; /* something was encoded once */
  /* asynchronous runs */
  void *queue[IN_FLIGHT]; /* completion blocks, a ring */
  unsigned head, pending; /* pending: queued and running */
  bool has_thread, stop;
  pthread_t thread;
};

void stream_destroy(void *object) {
  stream *s = object;
  free(s->ops);
  pthread_cond_destroy(&s->changed);
  pthread_mutex_destroy(&s->mutex);
}

e5rt_error_code_t e5rt_execution_stream_create(void **out_stream) {
  if (check_out(out_stream, __func__)) return host_error_code();
  stream *s = object_new(TYPE_STREAM, sizeof *s, __func__);
  if (!s) return host_error_code();
  pthread_mutex_init(&s->mutex, NULL);
  pthread_cond_init(&s->changed, NULL);
  return handle_give(s, out_stream, __func__);
}

/* -- encoding ------------------------------------------------------------------------------------------------------------ */

/* Looks the stream up and locks it; NULL with the failure set when it is unknown or has work in flight. */
static stream *lock_idle(void *handle, const char *call) {
  stream *s = handle_get(handle, TYPE_STREAM, call);
  if (!s) return NULL;
  pthread_mutex_lock(&s->mutex);
  unsigned pending = s->pending;
  if (!pending) return s;
  pthread_mutex_unlock(&s->mutex);
  host_refuse(RULE_STREAM_IN_FLIGHT, call, "%u runs are in flight", pending);
  return NULL;
}

static e5rt_error_code_t encode(stream *s, operation *op, const char *call) {
  if (op->state == OP_ENCODED)
    return host_refuse(RULE_ENCODE_TWICE, call, "it is encoded on %s stream", op->stream == s ? "this" : "another");
  if (op->state == OP_RESET) return host_refuse(RULE_ENCODE_UNPREPARED, call, "the operation was encoded before");
  if (operation_bind_memory(op, call)) return host_error_code();
  if (s->n_ops == s->room) {
    size_t room = s->room ? s->room * 2 : 4;
    operation **grown = realloc(s->ops, room * sizeof *grown);
    if (!grown) return host_fail(HOST_E_MEMORY, call, "out of memory");
    s->ops = grown;
    s->room = room;
  }
  s->ops[s->n_ops++] = object_retain(op);
  s->used = true;
  op->state = OP_ENCODED;
  op->stream = s;
  operation_mark_encoded(op, 1);
  return HOST_OK;
}

e5rt_error_code_t e5rt_execution_stream_encode_operation(void *handle, void *operation_handle) {
  stream *s = lock_idle(handle, __func__);
  if (!s) return host_error_code();
  operation *op = handle_get(operation_handle, TYPE_OPERATION, __func__);
  e5rt_error_code_t err = op ? encode(s, op, __func__) : host_error_code();
  pthread_mutex_unlock(&s->mutex);
  return err;
}

static void forget_operations(stream *s) {
  for (size_t i = 0; i < s->n_ops; i++) {
    operation *op = s->ops[i];
    operation_mark_encoded(op, -1);
    op->state = OP_RESET;
    op->stream = NULL;
    object_drop(op);
  }
  s->n_ops = 0;
}

e5rt_error_code_t e5rt_execution_stream_reset(void *handle) {
  stream *s = lock_idle(handle, __func__);
  if (!s) return host_error_code();
  bool used = s->used;
  if (used) forget_operations(s);
  pthread_mutex_unlock(&s->mutex);
  return used ? HOST_OK : host_refuse(RULE_RESET_FRESH, __func__, "nothing was encoded on it yet");
}

/* -- running ------------------------------------------------------------------------------------------------------------- */

/* Stops at the first operation that fails. 0 = all ran. */
static int run(stream *s, char *error, size_t error_size) {
  int failed = 0;
  for (size_t i = 0; i < s->n_ops && !failed; i++) failed = operation_run(s->ops[i], error, error_size);
  return failed;
}

static bool on_own_thread(const stream *s) { return s->has_thread && pthread_equal(s->thread, pthread_self()); }

/* Waits for queued runs, so the order of calls is the order of runs. */
e5rt_error_code_t e5rt_execution_stream_execute_sync(void *handle) {
  stream *s = handle_get(handle, TYPE_STREAM, __func__);
  if (!s) return host_error_code();
  char reason[4096];
  *reason = 0;
  pthread_mutex_lock(&s->mutex);
  bool in_block = on_own_thread(s);
  while (s->pending && !in_block) pthread_cond_wait(&s->changed, &s->mutex);
  bool empty = s->n_ops == 0;
  int failed = empty || in_block ? 0 : run(s, reason, sizeof reason);
  pthread_mutex_unlock(&s->mutex);
  if (in_block) return host_refuse(RULE_STREAM_IN_BLOCK, __func__, "called by a completion block of this stream");
  if (empty) return host_refuse(RULE_STREAM_EMPTY, __func__, "encode an operation first");
  return failed ? host_fail(HOST_E_EXECUTE, __func__, "%s", reason) : HOST_OK;
}

/* One asynchronous run. Whoever was woken by an event finds the stream idle and may release it; the block comes last. */
static void run_async(stream *s, void *block) {
  char reason[4096];
  *reason = 0;
  int failed = run(s, reason, sizeof reason);
  event *last = NULL;
  pthread_mutex_lock(&s->mutex);
  s->head = (s->head + 1) % IN_FLIGHT;
  s->pending--;
  for (size_t i = 0; i < s->n_ops; i++) {
    event *e = s->ops[i]->completion;
    if (!e) continue;
    event_signal(e, failed ? reason : NULL);
    object_drop(last);
    last = object_retain(e);
  }
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->mutex);
  if (block_complete(block) && last) event_fail(last, "the completion block returned an error");
  object_drop(last);
}

static void *worker(void *argument) {
  stream *s = argument;
  pthread_mutex_lock(&s->mutex);
  while (!s->stop || s->pending) {
    if (!s->pending) {
      pthread_cond_wait(&s->changed, &s->mutex);
      continue;
    }
    void *block = s->queue[s->head];
    pthread_mutex_unlock(&s->mutex);
    run_async(s, block);
    pthread_mutex_lock(&s->mutex);
  }
  pthread_mutex_unlock(&s->mutex);
  return NULL;
}

/* Under the stream's mutex. The block is retained already. */
static e5rt_error_code_t enqueue(stream *s, void *block, const char *call) {
  if (s->n_ops == 0) return host_refuse(RULE_STREAM_EMPTY, call, "encode an operation first");
  if (s->pending == IN_FLIGHT)
    return host_fail(HOST_E_STATE, call, "%d runs are in flight, the most there can be", IN_FLIGHT);
  if (!s->has_thread) {
    if (pthread_create(&s->thread, NULL, worker, s)) return host_fail(HOST_E_MEMORY, call, "cannot start a thread");
    s->has_thread = true;
  }
  for (size_t i = 0; i < s->n_ops; i++)
    if (s->ops[i]->completion) event_expect(s->ops[i]->completion);
  s->queue[(s->head + s->pending++) % IN_FLIGHT] = block;
  pthread_cond_broadcast(&s->changed);
  return HOST_OK;
}

e5rt_error_code_t e5rt_execution_stream_submit_async(void *handle, void *block) {
  stream *s = handle_get(handle, TYPE_STREAM, __func__);
  if (!s || block_retain_completion(block, __func__)) return host_error_code();
  pthread_mutex_lock(&s->mutex);
  e5rt_error_code_t err = enqueue(s, block, __func__);
  pthread_mutex_unlock(&s->mutex);
  if (err) _Block_release(block);
  return err;
}

e5rt_error_code_t e5rt_execution_stream_async_submit(void *handle) {
  if (!handle_get(handle, TYPE_STREAM, __func__)) return host_error_code();
  return host_fail(HOST_E_UNSUPPORTED, __func__, "Use submit_async");
}

/* -- the rest ------------------------------------------------------------------------------------------------------------ */

e5rt_error_code_t e5rt_execution_stream_release(void **obj) {
  stream *s = handle_get_for_release(obj, TYPE_STREAM, __func__);
  if (!s) return host_error_code();
  pthread_mutex_lock(&s->mutex);
  unsigned pending = s->pending;
  bool in_block = on_own_thread(s);
  if (!pending && !in_block) s->stop = true;
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->mutex);
  if (in_block) return host_refuse(RULE_STREAM_IN_BLOCK, __func__, "called by a completion block of this stream");
  if (pending) return host_refuse(RULE_STREAM_IN_FLIGHT, __func__, "%u runs are in flight", pending);
  if (s->has_thread) pthread_join(s->thread, NULL);
  forget_operations(s);
  handle_end(*obj);
  return HOST_OK;
}

/* There is one lane; the hints are accepted and have no effect. */
e5rt_error_code_t e5rt_execution_stream_set_quality_of_service(void *handle, uint64_t qos) {
  (void)qos;
  return handle_get(handle, TYPE_STREAM, __func__) ? HOST_OK : host_error_code();
}

e5rt_error_code_t e5rt_execution_stream_set_ane_execution_priority(void *handle, uint64_t priority) {
  (void)priority;
  return handle_get(handle, TYPE_STREAM, __func__) ? HOST_OK : host_error_code();
}
