/* e5rt_event.c - e5rt: events. A value that grows by one for each asynchronous run of the operation an event is bound to
 * (or by e5rt_async_event_signal); a wait ends when the value reaches the future value. */
#include <stdio.h>
#include <string.h>

#include "e5rt_objects.h"

E5RT_SYMBOLS(E5RT_DECLARE)

void event_destroy(void *object) {
  event *e = object;
  pthread_cond_destroy(&e->changed);
  pthread_mutex_destroy(&e->mutex);
}

void event_expect(event *e) {
  pthread_mutex_lock(&e->mutex);
  e->submitted = true;
  e->future++;
  pthread_mutex_unlock(&e->mutex);
}

/* Under the event's mutex. */
static void set_reason(event *e, const char *reason) {
  e->error = reason ? HOST_E_EXECUTE : HOST_OK;
  snprintf(e->reason, sizeof e->reason, "%s", reason ? reason : "");
}

void event_signal(event *e, const char *reason) {
  pthread_mutex_lock(&e->mutex);
  e->value++;
  if (e->future < e->value) e->future = e->value;
  e->submitted = true;
  set_reason(e, reason);
  pthread_cond_broadcast(&e->changed);
  pthread_mutex_unlock(&e->mutex);
}

void event_fail(event *e, const char *reason) {
  pthread_mutex_lock(&e->mutex);
  set_reason(e, reason);
  pthread_mutex_unlock(&e->mutex);
}

e5rt_error_code_t e5rt_async_event_create(void **out_event, const char *name, uint32_t initial_value) {
  if (check_out(out_event, __func__)) return host_error_code();
  if (!name) return host_refuse(RULE_EVENT_NAME, __func__, "Invalid Function Argument: eventName is NULL");
  if (check_pointer(name, "event name", __func__)) return host_error_code();
  event *e = object_new(TYPE_EVENT, sizeof *e, __func__);
  if (!e) return host_error_code();
  pthread_mutex_init(&e->mutex, NULL);
  pthread_cond_init(&e->changed, NULL);
  snprintf(e->name, sizeof e->name, "%s", name);
  e->value = e->future = initial_value;
  return handle_give(e, out_event, __func__);
}

e5rt_error_code_t e5rt_async_event_release(void **obj) {
  event *e = handle_get_for_release(obj, TYPE_EVENT, __func__);
  if (!e) return host_error_code();
  if (atomic_load(&e->encoded)) return host_refuse(RULE_EVENT_IN_USE, __func__, "event %s", e->name);
  handle_end(*obj);
  return HOST_OK;
}

/* Waits until the value has reached the future value; fails when the run that signalled it failed. */
e5rt_error_code_t e5rt_async_event_sync_wait(void *handle) {
  event *e = handle_get(handle, TYPE_EVENT, __func__);
  if (!e) return host_error_code();
  char reason[sizeof e->reason];
  object_retain(e); /* the caller may release it when the value is there */
  pthread_mutex_lock(&e->mutex);
  bool submitted = e->submitted;
  while (submitted && e->value < e->future) pthread_cond_wait(&e->changed, &e->mutex);
  e5rt_error_code_t err = e->error;
  if (err) memcpy(reason, e->reason, sizeof reason);
  pthread_mutex_unlock(&e->mutex);
  if (!submitted) host_refuse(RULE_EVENT_UNSUBMITTED, __func__, "event %s", e->name);
  object_drop(e);
  if (!submitted) return host_error_code();
  return err ? host_fail((enum host_error)err, __func__, "%s", reason) : HOST_OK;
}

e5rt_error_code_t e5rt_async_event_get_last_signaled_value(void *handle, uint64_t *out) {
  event *e = handle_get(handle, TYPE_EVENT, __func__);
  if (!e || check_pointer(out, "result variable", __func__)) return host_error_code();
  pthread_mutex_lock(&e->mutex);
  *out = e->value;
  pthread_mutex_unlock(&e->mutex);
  return HOST_OK;
}

e5rt_error_code_t e5rt_async_event_set_active_future_value(void *handle, uint64_t value) {
  event *e = handle_get(handle, TYPE_EVENT, __func__);
  if (!e) return host_error_code();
  pthread_mutex_lock(&e->mutex);
  uint64_t now = e->value;
  if (value >= now) {
    e->future = value;
    e->submitted = true;
    pthread_cond_broadcast(&e->changed);
  }
  pthread_mutex_unlock(&e->mutex);
  if (value >= now) return HOST_OK;
  return host_refuse(RULE_EVENT_FUTURE, __func__, "event %s has %llu, asked for %llu", e->name, (unsigned long long)now,
                     (unsigned long long)value);
}

e5rt_error_code_t e5rt_async_event_signal(void *handle) {
  event *e = handle_get(handle, TYPE_EVENT, __func__);
  if (!e) return host_error_code();
  event_signal(e, NULL);
  return HOST_OK;
}
