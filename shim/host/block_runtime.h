/* block_runtime.h - the part of Apple's blocks runtime that completion blocks need (exported: _Block_copy, _Block_release,
 * the three block classes). */
#ifndef ANEFORGE_HOST_BLOCK_RUNTIME_H
#define ANEFORGE_HOST_BLOCK_RUNTIME_H

#include <stddef.h>

#include "strict.h"

/* Classes; a block's isa is the address of one of them. */
extern E5RT_EXPORT void *_NSConcreteStackBlock[32];
extern E5RT_EXPORT void *_NSConcreteGlobalBlock[32];
extern E5RT_EXPORT void *_NSConcreteMallocBlock[32];

E5RT_EXPORT void *_Block_copy(const void *block);
E5RT_EXPORT void _Block_release(const void *block);

/* Checks that this is a heap or global block of type e5rt_error_code_t (^)(void) and retains it. 0 = retained; given back
 * with _Block_release(), which does nothing to a global one. */
e5rt_error_code_t block_retain_completion(void *block, const char *call);
/* Calls a retained completion block, then gives the reference back. */
e5rt_error_code_t block_complete(void *block);

/* Number of live heap blocks; appends to a list of live handles. */
unsigned blocks_live_text(char *text, size_t size);

#endif
