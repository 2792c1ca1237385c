/* exec.h - runs a plan. */
#ifndef ANEFORGE_HOST_EXEC_H
#define ANEFORGE_HOST_EXEC_H

#include "plan.h"

typedef struct exec exec;

/* Everything a run needs: scratch per worker, room for staged outputs. NULL when out of memory. */
exec *exec_create(plan *p);
void exec_free(exec *e);
int exec_run(exec *e, void *const *inputs, void *const *outputs, char *error, size_t error_size);

#endif
