#include "block_runtime.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handles.h"

/* What every block begins with. The descriptor goes on with copy and dispose helpers (flag HAS_HELPERS) and a signature
 * (flag HAS_SIGNATURE), each only if its flag is set. */
typedef struct {
  void *isa;
  _Atomic int32_t flags; /* also read without the mutex */
  int32_t reserved;
  e5rt_error_code_t (*invoke)(void *block);
  const struct descriptor {
    unsigned long reserved, size;
    void *rest[];
  } *descriptor;
} block_head;

/* Flags, and where a heap block counts its references: 2 per reference. */
enum {
  REFERENCES = 0xfffe,
  ONE = 2,
  NEEDS_FREE = 1 << 24,
  HAS_HELPERS = 1 << 25,
  IS_GLOBAL = 1 << 28,
  HAS_SIGNATURE = 1 << 30,
};

static const char completion_signature[] = "q8@?0";

void *_NSConcreteStackBlock[32];
void *_NSConcreteGlobalBlock[32];
void *_NSConcreteMallocBlock[32];

/* Heap blocks that are alive. There are few at a time: one per run in flight. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static const block_head **heap;
static size_t n_heap, heap_room;

/* The last ones that died: their memory is kept for a while so that a late use is recognised. */
enum { N_DEAD = 1024 };
static const block_head *dead[N_DEAD];
static size_t next_dead;

/* Index of a live heap block, n_heap when it is none. Under mutex. */
static size_t find(const void *block) {
  size_t i = 0;
  while (i < n_heap && heap[i] != block) i++;
  return i;
}

static bool remember(const block_head *block) {
  if (n_heap == heap_room) {
    size_t room = heap_room ? heap_room * 2 : 16;
    const block_head **grown = realloc(heap, room * sizeof *grown);
    if (!grown) return false;
    heap = grown;
    heap_room = room;
  }
  heap[n_heap++] = block;
  return true;
}

static const char *signature_of(const block_head *block) {
  return block->descriptor->rest[block->flags & HAS_HELPERS ? 2 : 0];
}

/* Forgets live block i. Returns memory to free. */
static void *bury(size_t i) {
  const block_head *oldest = dead[next_dead];
  dead[next_dead] = heap[i];
  next_dead = (next_dead + 1) % N_DEAD;
  heap[i] = heap[--n_heap];
  return (void *)oldest;
}

static bool is_dead(const void *block) {
  pthread_mutex_lock(&mutex);
  size_t i = 0;
  while (i < N_DEAD && dead[i] != block) i++;
  pthread_mutex_unlock(&mutex);
  return i < N_DEAD;
}

/* One more reference if it is a live heap block. */
static bool retain_heap(const void *block) {
  pthread_mutex_lock(&mutex);
  size_t i = find(block);
  bool known = i < n_heap;
  if (known) ((block_head *)block)->flags += ONE;
  pthread_mutex_unlock(&mutex);
  return known;
}

/* A heap block gains a reference, a global one is itself, one on the stack is copied. */
void *_Block_copy(const void *pointer) {
  const block_head *block = pointer;
  if (!block || check_pointer(block, "block", "_Block_copy")) return NULL;
  if (retain_heap(block)) return (void *)block;
  if (is_dead(block)) {
    host_refuse(RULE_BLOCK_RELEASED, "_Block_copy", "%p is not a live heap block", pointer);
    return NULL;
  }
  if (block->flags & IS_GLOBAL) return (void *)block;
  if (block->isa != _NSConcreteStackBlock || !block->descriptor || block->descriptor->size < sizeof *block) {
    host_refuse(RULE_BLOCK_MALFORMED, "_Block_copy", "neither a stack, heap nor global block with a descriptor");
    return NULL;
  }
  host_strict(); /* the check at exit covers all blocks */
  block_head *copy = malloc(block->descriptor->size);
  if (!copy) return NULL;
  memcpy(copy, block, block->descriptor->size);
  copy->isa = _NSConcreteMallocBlock;
  copy->flags = (block->flags & ~REFERENCES) | NEEDS_FREE | ONE;
  pthread_mutex_lock(&mutex);
  bool kept = remember(copy);
  pthread_mutex_unlock(&mutex);
  if (!kept) {
    free(copy);
    return NULL;
  }
  if (block->flags & HAS_HELPERS) ((void (*)(void *, const void *))(uintptr_t)block->descriptor->rest[0])(copy, block);
  return copy;
}

void _Block_release(const void *pointer) {
  block_head *block = (block_head *)pointer;
  if (!block || check_pointer(block, "block", "_Block_release")) return;
  pthread_mutex_lock(&mutex);
  size_t i = find(block);
  bool known = i < n_heap, end = known && (block->flags & REFERENCES) == ONE;
  if (known && !end) block->flags -= ONE;
  pthread_mutex_unlock(&mutex);
  if (!known && (is_dead(block) || !(block->flags & IS_GLOBAL)))
    host_refuse(RULE_BLOCK_RELEASED, "_Block_release", "%p is not a live heap block", pointer);
  if (!end) return;
  if (block->flags & HAS_HELPERS) ((void (*)(void *))(uintptr_t)block->descriptor->rest[1])(block);
  pthread_mutex_lock(&mutex);
  i = find(block);
  void *memory = i < n_heap ? bury(i) : NULL;
  pthread_mutex_unlock(&mutex);
  free(memory);
}

static const char *flaw(const block_head *block) {
  if (block->isa != _NSConcreteMallocBlock && block->isa != _NSConcreteGlobalBlock) return "isa is not a block class";
  if (block->isa == _NSConcreteGlobalBlock && !(block->flags & IS_GLOBAL)) return "a global block without the global flag";
  if (!block->invoke) return "invoke is NULL";
  if (!block->descriptor) return "the descriptor is NULL";
  if (block->descriptor->reserved || block->descriptor->size < sizeof *block || block->descriptor->size > 1 << 20)
    return "the descriptor is not one";
  if (!(block->flags & HAS_SIGNATURE) || !signature_of(block)) return "no signature";
  if (strcmp(signature_of(block), completion_signature) != 0) return "the signature is not q8@?0";
  return NULL;
}

e5rt_error_code_t block_retain_completion(void *pointer, const char *call) {
  const block_head *block = pointer;
  if (!block) return host_refuse(RULE_BLOCK_NULL, call, "the completion block is NULL");
  e5rt_error_code_t err = check_pointer(block, "completion block", call);
  if (err) return err;
  if ((uintptr_t)block % sizeof(void *)) return host_refuse(RULE_BLOCK_MALFORMED, call, "%p is not aligned", pointer);
  bool on_heap = retain_heap(block);
  if (!on_heap && is_dead(block))
    return host_refuse(RULE_BLOCK_RELEASED, call, "%p is not a live heap block", pointer);
  if (!on_heap && block->isa == _NSConcreteStackBlock)
    return host_refuse(RULE_BLOCK_ON_STACK, call, "%p is a stack block", pointer);
  if (!on_heap && block->isa == _NSConcreteMallocBlock)
    return host_refuse(RULE_BLOCK_MALFORMED, call, "%p is marked as a heap block, _Block_copy did not make it", pointer);
  const char *why = flaw(block);
  if (!why) return HOST_OK;
  if (on_heap) _Block_release(block);
  return host_refuse(RULE_BLOCK_MALFORMED, call, "%s", why);
}

e5rt_error_code_t block_complete(void *block) {
  e5rt_error_code_t result = ((block_head *)block)->invoke(block);
  _Block_release(block);
  return result;
}

unsigned blocks_live_text(char *text, size_t size) {
  pthread_mutex_lock(&mutex);
  unsigned n = (unsigned)n_heap;
  pthread_mutex_unlock(&mutex);
  size_t used = strlen(text);
  if (n) snprintf(text + used, size - used, "%s%u block", used ? ", " : "", n);
  return n;
}
