#include "handles.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* handle = 0xAE << 56 | type << 52 | generation << 20 | slot. With that top byte it is no address on any machine. */
enum { SLOT_BITS = 20, CHUNK_BITS = 10, CHUNK = 1 << CHUNK_BITS, N_CHUNKS = 1 << (SLOT_BITS - CHUNK_BITS) };
#define MARK ((uint64_t)0xAE)

typedef struct {
  _Atomic uint32_t generation; /* of the live handle, 0 = free */
  _Atomic uint32_t last;       /* generation given out last */
  void *object;
  uint32_t next_free; /* slot + 1, 0 = end */
} slot;

#define TYPE_NAME(constant, name, destructor) [TYPE_##constant] = name,
static const char *const names[N_TYPES] = {[TYPE_NONE] = "nothing", HOST_TYPES(TYPE_NAME)};

#define TYPE_DESTRUCTOR(constant, name, destructor) [TYPE_##constant] = destructor,
static void (*const destructors[N_TYPES])(void *) = {HOST_TYPES(TYPE_DESTRUCTOR)};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(slot *) chunks[N_CHUNKS]; /* never freed */
static uint32_t n_slots, first_free;     /* under mutex */
static unsigned live[N_TYPES];           /* under mutex */

/* -- objects ----------------------------------------------------------------------------------------------------------- */

void *object_new(enum host_type type, size_t size, const char *call) {
  host_object *object = calloc(1, size);
  if (!object) {
    host_fail(HOST_E_MEMORY, call, "out of memory for a %s", names[type]);
    return NULL;
  }
  object->type = type;
  atomic_init(&object->references, 1);
  return object;
}

void *object_retain(void *object) {
  atomic_fetch_add_explicit(&((host_object *)object)->references, 1, memory_order_relaxed);
  return object;
}

void object_drop(void *pointer) {
  host_object *object = pointer;
  if (!object || atomic_fetch_sub_explicit(&object->references, 1, memory_order_acq_rel) != 1) return;
  destructors[object->type](object);
  free(object);
}

/* -- handles ----------------------------------------------------------------------------------------------------------- */

static int is_handle(uint64_t word) { return word >> 56 == MARK; }
static uint32_t slot_number(uint64_t word) { return word & ((1u << SLOT_BITS) - 1); }
static uint32_t generation_of(uint64_t word) { return (uint32_t)(word >> SLOT_BITS); }
static enum host_type type_of(uint64_t word) { return (enum host_type)(word >> 52 & 15); }

static slot *slot_at(uint32_t number) {
  slot *chunk = atomic_load_explicit(&chunks[number >> CHUNK_BITS], memory_order_acquire);
  return chunk ? &chunk[number & (CHUNK - 1)] : NULL;
}

/* A free slot or a new one; UINT32_MAX when there is none. Under mutex. */
static uint32_t take_slot(void) {
  if (first_free) {
    uint32_t number = first_free - 1;
    first_free = slot_at(number)->next_free;
    return number;
  }
  if (n_slots == 1u << SLOT_BITS) return UINT32_MAX;
  if ((n_slots & (CHUNK - 1)) == 0) {
    slot *chunk = calloc(CHUNK, sizeof *chunk);
    if (!chunk) return UINT32_MAX;
    atomic_store_explicit(&chunks[n_slots >> CHUNK_BITS], chunk, memory_order_release);
  }
  return n_slots++;
}

e5rt_error_code_t handle_give(void *object, void **out, const char *call) {
  enum host_type type = ((host_object *)object)->type;
  host_strict(); /* the check at exit covers all handles */
  pthread_mutex_lock(&mutex);
  uint32_t number = take_slot();
  if (number != UINT32_MAX) {
    slot *s = slot_at(number);
    uint32_t generation = atomic_load_explicit(&s->last, memory_order_relaxed) + 1;
    s->object = object;
    live[type]++;
    atomic_store_explicit(&s->last, generation, memory_order_relaxed);
    atomic_store_explicit(&s->generation, generation, memory_order_release);
    *out = (void *)(uintptr_t)(MARK << 56 | (uint64_t)type << 52 | (uint64_t)generation << SLOT_BITS | number);
  }
  pthread_mutex_unlock(&mutex);
  if (number != UINT32_MAX) return HOST_OK;
  object_drop(object);
  return host_fail(HOST_E_MEMORY, call, "no room for another %s handle", names[type]);
}

/* The slot whose live handle this is, else NULL. */
static slot *find(uint64_t word) {
  if (!is_handle(word)) return NULL;
  slot *s = slot_at(slot_number(word));
  uint32_t generation = generation_of(word);
  if (!s || !generation || atomic_load_explicit(&s->generation, memory_order_acquire) != generation) return NULL;
  return type_of(word) == ((host_object *)s->object)->type ? s : NULL;
}

static bool was_released(uint64_t word) {
  slot *s = is_handle(word) ? slot_at(slot_number(word)) : NULL;
  uint32_t generation = generation_of(word);
  return s && type_of(word) && type_of(word) < N_TYPES && generation &&
         generation <= atomic_load_explicit(&s->last, memory_order_relaxed) &&
         generation != atomic_load_explicit(&s->generation, memory_order_relaxed);
}

/* Why a word is not a live handle of the wanted type. */
static void explain(uint64_t word, enum host_type type, const char *call, enum host_rule released) {
  if (!word)
    host_refuse(RULE_NULL_ARGUMENT, call, "the %s is NULL", names[type]);
  else if (find(word))
    host_refuse(RULE_TYPE, call, "expected a %s, got a %s", names[type], names[type_of(word)]);
  else if (was_released(word))
    host_refuse(released, call, "the %s with generation %u was released", names[type_of(word)], generation_of(word));
  else
    host_refuse(RULE_UNKNOWN, call, "expected a %s, got 0x%llx, which is no handle", names[type], (unsigned long long)word);
}

static void *get(uint64_t word, enum host_type type, const char *call, enum host_rule released) {
  slot *s = find(word);
  if (s && type_of(word) == type) return s->object;
  explain(word, type, call, released);
  return NULL;
}

void *handle_get(void *handle, enum host_type type, const char *call) {
  return get((uint64_t)(uintptr_t)handle, type, call, RULE_RELEASED);
}

void *handle_get_for_release(void **handle, enum host_type type, const char *call) {
  if (check_pointer(handle, "handle variable", call)) return NULL;
  return get((uint64_t)(uintptr_t)*handle, type, call, RULE_DOUBLE_RELEASE);
}

void handle_end(void *handle) {
  uint64_t word = (uint64_t)(uintptr_t)handle;
  pthread_mutex_lock(&mutex);
  slot *s = find(word);
  void *object = NULL;
  if (s) {
    object = s->object;
    live[type_of(word)]--;
    atomic_store_explicit(&s->generation, 0, memory_order_release);
    s->object = NULL;
    if (atomic_load_explicit(&s->last, memory_order_relaxed) != UINT32_MAX) { /* a worn-out slot stays unused */
      s->next_free = first_free;
      first_free = slot_number(word) + 1;
    }
  }
  pthread_mutex_unlock(&mutex);
  object_drop(object);
}

e5rt_error_code_t handle_release(void **handle, enum host_type type, const char *call) {
  if (!handle_get_for_release(handle, type, call)) return host_error_code();
  handle_end(*handle);
  return HOST_OK;
}

/* -- other arguments -------------------------------------------------------------------------------------------------- */

e5rt_error_code_t check_pointer(const void *pointer, const char *what, const char *call) {
  uint64_t word = (uint64_t)(uintptr_t)pointer;
  if (!word) return host_refuse(RULE_NULL_ARGUMENT, call, "the %s is NULL", what);
  if (is_handle(word)) return host_refuse(RULE_TYPE, call, "the %s is a handle, not an address", what);
  return HOST_OK;
}

e5rt_error_code_t check_out(void **out, const char *call) {
  e5rt_error_code_t err = check_pointer(out, "result variable", call);
  if (!err) *out = NULL;
  return err;
}

unsigned handles_live_text(char *text, size_t size) {
  unsigned total = 0;
  size_t used = 0;
  text[0] = 0;
  pthread_mutex_lock(&mutex);
  for (int type = TYPE_NONE + 1; type < N_TYPES; type++) {
    if (!live[type]) continue;
    total += live[type];
    used += (size_t)snprintf(text + used, size - used, "%s%u %s", used ? ", " : "", live[type], names[type]);
  }
  pthread_mutex_unlock(&mutex);
  return total;
}
