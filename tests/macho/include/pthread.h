/* What the shim needs of Apple's <pthread.h>. Sizes and signatures: apple-oss-distributions/libpthread,
 * include/sys/_pthread/_pthread_types.h (__PTHREAD_MUTEX_SIZE__ 56, __PTHREAD_COND_SIZE__ 40, __PTHREAD_ONCE_SIZE__ 8 on
 * 64-bit) and include/pthread/pthread.h (the initialisers). */
#ifndef MACHO_PTHREAD_H
#define MACHO_PTHREAD_H
#include <stddef.h>

typedef struct {
  long sig;
  char opaque[56];
} pthread_mutex_t;

typedef struct {
  long sig;
  char opaque[40];
} pthread_cond_t;

typedef struct {
  long sig;
  char opaque[8];
} pthread_once_t;

typedef struct pthread_mutexattr pthread_mutexattr_t; /* only ever passed as NULL */
typedef struct pthread_condattr pthread_condattr_t;

#define PTHREAD_MUTEX_INITIALIZER {0x32AAABA7, {0}}
#define PTHREAD_COND_INITIALIZER {0x3CB0B1BB, {0}}
#define PTHREAD_ONCE_INIT {0x30B1BCBA, {0}}

_Static_assert(sizeof(pthread_mutex_t) == 64, "arm64 macOS");
_Static_assert(sizeof(pthread_cond_t) == 48, "arm64 macOS");
_Static_assert(sizeof(pthread_once_t) == 16, "arm64 macOS");

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int pthread_mutex_destroy(pthread_mutex_t *mutex);
int pthread_mutex_lock(pthread_mutex_t *mutex);
int pthread_mutex_unlock(pthread_mutex_t *mutex);
int pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);
int pthread_cond_destroy(pthread_cond_t *condition);
int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int pthread_cond_signal(pthread_cond_t *condition);
int pthread_cond_broadcast(pthread_cond_t *condition);
int pthread_once(pthread_once_t *once, void (*routine)(void));
#endif
