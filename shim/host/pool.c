/* pool.c - see pool.h.
 *
 * Work is offered in a fixed number of slots. The owner fills a slot, opens it, works itself, closes it and waits until
 * nobody is inside. A worker enters by counting itself in and then looking again whether the slot is open, so an owner that
 * has closed and sees nobody inside may fill the slot anew. */
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum { SLOTS = 16, SPINS = 2000 };

typedef struct {
  _Alignas(64) atomic_bool taken; /* has an owner */
  atomic_bool open;
  atomic_int inside;
  _Alignas(64) _Atomic int64_t next;
  pool_fn *fn;
  const void *args;
  int64_t units, chunk;
  int workers;
} slot;

static slot slots[SLOTS];
static atomic_uint news;      /* changes when a slot opens or the pool ends */
static atomic_int sleepers;
static atomic_bool ending;
static atomic_int started;    /* 0 not yet, 1 running */
static atomic_int n_threads;  /* 0 not yet known */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static pthread_t thread[POOL_MAX];
static int running;

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

int pool_threads(void) {
  int n = atomic_load_explicit(&n_threads, memory_order_relaxed);
  if (n) return n;
  const char *text = getenv("ANEFORGE_HOST_THREADS");
  long asked = text ? strtol(text, NULL, 10) : 0;
  if (asked <= 0) asked = sysconf(_SC_NPROCESSORS_ONLN);
  n = asked < 1 ? 1 : asked > POOL_MAX ? POOL_MAX : (int)asked;
  atomic_store_explicit(&n_threads, n, memory_order_relaxed);
  return n;
}

static void work(slot *s, int worker) {
  for (;;) {
    int64_t first = atomic_fetch_add_explicit(&s->next, s->chunk, memory_order_relaxed);
    if (first >= s->units) return;
    int64_t last = first + s->chunk;
    s->fn(s->args, first, last < s->units ? last : s->units, worker);
  }
}

static bool help(int worker) {
  bool any = false;
  for (int i = 0; i < SLOTS; i++) {
    slot *s = &slots[i];
    if (!atomic_load_explicit(&s->open, memory_order_relaxed)) continue;
    atomic_fetch_add(&s->inside, 1);
    if (atomic_load(&s->open) && worker < s->workers) {
      work(s, worker);
      any = true;
    }
    atomic_fetch_sub(&s->inside, 1);
  }
  return any;
}

static void *worker_main(void *arg) {
  int worker = (int)(intptr_t)arg;
  while (!atomic_load(&ending)) {
    unsigned seen = atomic_load(&news);
    help(worker);
    int spins = 0;
    while (atomic_load_explicit(&news, memory_order_acquire) == seen && spins < SPINS) {
      relax();
      spins++;
    }
    if (spins < SPINS) continue;
    pthread_mutex_lock(&lock);
    atomic_fetch_add(&sleepers, 1);
    while (atomic_load(&news) == seen) pthread_cond_wait(&wake, &lock);
    atomic_fetch_sub(&sleepers, 1);
    pthread_mutex_unlock(&lock);
  }
  return NULL;
}

static void announce(void) {
  atomic_fetch_add(&news, 1);
  if (!atomic_load(&sleepers)) return;
  pthread_mutex_lock(&lock);
  pthread_cond_broadcast(&wake);
  pthread_mutex_unlock(&lock);
}

/* A forked child has no workers and nobody's work. */
static void after_fork(void) {
  pthread_mutex_init(&lock, NULL);
  pthread_cond_init(&wake, NULL);
  for (int i = 0; i < SLOTS; i++) {
    atomic_store(&slots[i].taken, false);
    atomic_store(&slots[i].open, false);
    atomic_store(&slots[i].inside, 0);
  }
  atomic_store(&sleepers, 0);
  atomic_store(&started, 0);
  atomic_store(&n_threads, 0);
  running = 0;
}

static void start(void) {
  static bool fork_handled;
  pthread_mutex_lock(&lock);
  if (!atomic_load(&started) && !atomic_load(&ending)) {
    if (!fork_handled) fork_handled = !pthread_atfork(NULL, NULL, after_fork);
    int want = pool_threads() - 1;
    running = 0;
    while (running < want && !pthread_create(&thread[running], NULL, worker_main, (void *)(intptr_t)(running + 1))) running++;
    atomic_store(&started, 1);
  }
  pthread_mutex_unlock(&lock);
}

__attribute__((destructor)) static void finish(void) {
  pthread_mutex_lock(&lock);
  atomic_store(&ending, true);
  int n = running;
  running = 0;
  pthread_mutex_unlock(&lock);
  announce();
  for (int i = 0; i < n; i++) pthread_join(thread[i], NULL);
}

void pool_share(pool_fn *fn, const void *args, int64_t units, int64_t chunk, int workers) {
  int threads = pool_threads();
  if (threads == 1 || workers <= 1 || units <= chunk) {
    if (units > 0) fn(args, 0, units, 0);
    return;
  }
  if (!atomic_load_explicit(&started, memory_order_acquire)) start();
  slot *s = NULL;
  for (int i = 0; i < SLOTS && !s; i++) {
    bool no = false;
    if (!atomic_load_explicit(&slots[i].taken, memory_order_relaxed) && atomic_compare_exchange_strong(&slots[i].taken, &no, true))
      s = &slots[i];
  }
  if (!s) { /* that many programs at once keep the machine busy anyway */
    fn(args, 0, units, 0);
    return;
  }
  /* The last owner's workers may still be on their way out: they have seen it closed, and read nothing more. */
  s->fn = fn;
  s->args = args;
  s->units = units;
  s->chunk = chunk;
  s->workers = workers;
  atomic_store_explicit(&s->next, 0, memory_order_relaxed);
  atomic_store(&s->open, true);
  announce();
  work(s, 0);
  atomic_store(&s->open, false);
  for (int spins = 0; atomic_load(&s->inside); spins++) {
    if (spins < SPINS) relax();
    else sched_yield();
  }
  atomic_store(&s->taken, false);
}
