/* slot.c - program handles.
 *
 *   handle = generation << 14 | slot << 4 | 5
 *
 * The odd low bits tell a handle from an aligned address, the generation tells the live program from those that had the
 * slot before. */
#include "internal.h"

enum { SLOT_BITS = 10, N_SLOTS = 1 << SLOT_BITS, TAG = 5 };

static af_slot slots[N_SLOTS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint32_t live;

uint32_t af_live_programs(void) { return __atomic_load_n(&live, __ATOMIC_RELAXED); }

static af_slot *slot_of(uint64_t handle) { return &slots[handle >> 4 & (N_SLOTS - 1)]; }

static bool names_live(const af_slot *slot, uint64_t handle) {
  uint64_t generation = handle >> (SLOT_BITS + 4);
  return (handle & 15) == TAG && generation && __atomic_load_n(&slot->generation, __ATOMIC_ACQUIRE) == generation;
}

/* Prefers the slot that was free longest, so that generations of one slot stay far apart. */
af_program *af_slot_take(af_body *body) {
  static uint32_t next;
  af_program *program = NULL;
  pthread_mutex_lock(&mutex);
  for (uint32_t i = 0; i < N_SLOTS && !program; i++) {
    af_slot *slot = &slots[(next + i) % N_SLOTS];
    if (slot->body || slot->last == UINT32_MAX) continue;
    if (!slot->ready) {
      if (pthread_mutex_init(&slot->mutex, NULL) || pthread_cond_init(&slot->changed, NULL)) break;
      slot->ready = true;
    }
    slot->body = body;
    __atomic_store_n(&slot->last, slot->last + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->generation, slot->last, __ATOMIC_RELEASE);
    uint64_t index = (next + i) % N_SLOTS;
    program = (af_program *)(uintptr_t)((uint64_t)slot->last << (SLOT_BITS + 4) | index << 4 | TAG);
    next = (uint32_t)index + 1;
    __atomic_add_fetch(&live, 1, __ATOMIC_RELAXED);
  }
  pthread_mutex_unlock(&mutex);
  return program;
}

__attribute__((noinline)) static void explain(const char *call, uint64_t handle) {
  uint64_t generation = handle >> (SLOT_BITS + 4);
  if (!handle)
    AF_FAIL(AF_E_ARGUMENT, "%s: the program is NULL", call);
  else if ((handle & 15) == TAG && generation && generation <= __atomic_load_n(&slot_of(handle)->last, __ATOMIC_RELAXED))
    AF_FAIL(AF_E_STATE, "%s: the program was released", call);
  else
    AF_FAIL(AF_E_ARGUMENT, "%s: 0x%llx is not a program", call, (unsigned long long)handle);
}

af_slot *af_slot_find(const af_program *program, const char *call) {
  uint64_t handle = (uint64_t)(uintptr_t)program;
  af_slot *slot = slot_of(handle);
  if (names_live(slot, handle)) return slot;
  explain(call, handle);
  return NULL;
}

af_slot *af_slot_lock(const af_program *program, const char *call) {
  uint64_t handle = (uint64_t)(uintptr_t)program;
  af_slot *slot = af_slot_find(program, call);
  if (!slot) return NULL;
  pthread_mutex_lock(&slot->mutex);
  if (names_live(slot, handle)) return slot;
  pthread_mutex_unlock(&slot->mutex);
  explain(call, handle);
  return NULL;
}

/* The slot's mutex orders this against af_wait(), which holds it from the look-up to the moment it counts as waiting. */
af_slot *af_slot_close(af_program *program) {
  uint64_t handle = (uint64_t)(uintptr_t)program;
  af_slot *slot = slot_of(handle);
  if (!names_live(slot, handle)) return NULL;
  pthread_mutex_lock(&slot->mutex);
  bool mine = names_live(slot, handle);
  if (mine) __atomic_store_n(&slot->generation, 0, __ATOMIC_RELEASE);
  pthread_mutex_unlock(&slot->mutex);
  return mine ? slot : NULL;
}

void af_slot_free(af_slot *slot) {
  pthread_mutex_lock(&mutex);
  slot->body = NULL;
  pthread_mutex_unlock(&mutex);
  __atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
}
