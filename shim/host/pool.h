/* pool.h - the threads of the process. Started at the first piece of work worth sharing, shared by all programs, ended when
 * the library goes. Their number is ANEFORGE_HOST_THREADS, else the CPUs that are online; the caller counts as one. */
#ifndef ANEFORGE_HOST_POOL_H
#define ANEFORGE_HOST_POOL_H

#include <stdint.h>

enum { POOL_MAX = 256 };

typedef void pool_fn(const void *args, int64_t first, int64_t last, int worker);

int pool_threads(void);

/* fn over [0, units) in pieces of `chunk`, on the caller and on threads with a number below `workers` (the caller is 0).
 * Returns when all of it is done. */
void pool_share(pool_fn *fn, const void *args, int64_t units, int64_t chunk, int workers);

#endif
