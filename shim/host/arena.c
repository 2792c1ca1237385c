/* arena.c - memory that lives and dies with one program: chunks handed out from the front, freed together. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mil_internal.h"

#define CHUNK_BYTES ((size_t)64 * 1024)

typedef struct chunk {
  struct chunk *next;
  size_t used, size;
  char data[];
} chunk;

typedef struct mapping {
  struct mapping *next;
  void *data;
  size_t size;
} mapping;

struct mil_arena {
  chunk *chunks; /* the newest first; only it is filled further */
  mapping *mappings;
};

mil_arena *arena_new(void) { return calloc(1, sizeof(mil_arena)); }

void *arena_alloc(mil_arena *arena, size_t size, size_t align) {
  if (size > SIZE_MAX / 2 || align > CHUNK_BYTES) return NULL;
  chunk *c = arena->chunks;
  for (int attempt = 0; attempt < 2; attempt++) {
    if (c) {
      size_t pad = (size_t)(-(uintptr_t)(c->data + c->used)) & (align - 1);
      if (pad <= c->size - c->used && size <= c->size - c->used - pad) {
        void *p = c->data + c->used + pad;
        c->used += pad + size;
        return memset(p, 0, size);
      }
    }
    if (attempt) break;
    size_t room = size + align > CHUNK_BYTES ? size + align : CHUNK_BYTES;
    c = malloc(sizeof *c + room);
    if (!c) return NULL;
    c->used = 0;
    c->size = room;
    c->next = arena->chunks;
    arena->chunks = c;
  }
  return NULL;
}

bool arena_keep_mapping(mil_arena *arena, void *data, size_t size) {
  mapping *m = arena_alloc(arena, sizeof *m, _Alignof(mapping));
  if (!m) return false;
  *m = (mapping){arena->mappings, data, size};
  arena->mappings = m;
  return true;
}

void arena_free(mil_arena *arena) {
  if (!arena) return;
  for (mapping *m = arena->mappings; m; m = m->next) munmap(m->data, m->size);
  for (chunk *c = arena->chunks, *next; c; c = next) {
    next = c->next;
    free(c);
  }
  free(arena);
}
