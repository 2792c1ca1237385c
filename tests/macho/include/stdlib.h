/* What the shim needs of Apple's <stdlib.h> (apple-oss-distributions/Libc, include/_stdlib.h; malloc/_malloc.h). */
#ifndef MACHO_STDLIB_H
#define MACHO_STDLIB_H
#include <stddef.h>
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *at, size_t size);
void free(void *at);
#endif
