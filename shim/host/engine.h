/* engine.h - what the e5rt front (e5rt.c) asks of the engine behind it. */
#ifndef ANEFORGE_HOST_ENGINE_H
#define ANEFORGE_HOST_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "mil.h"
#include "numerics.h"

typedef struct engine_program engine_program;

typedef struct {
  const char *name;
  mil_type type;
  size_t bytes; /* elements * element size, unrounded */
} engine_port;

/* Read and check the program for a target as engine_compile does, and say which arithmetic that target has. */
mil_program *engine_read(const char *mil_path, const char *target, num_profile *profile, bool *loadable, char *error,
                         size_t error_size);

/* Read, check and plan the program in the text file mil_path ("@model_path" in it is the file's directory).
 * target: compiler target such as "h13"; NULL or "" means ANEFORGE_TARGET, else h13.
 * NULL on failure, with the reason (file:line:col, the source line and a caret where there is one) in error. */
engine_program *engine_compile(const char *mil_path, const char *target, char *error, size_t error_size);
void engine_release(engine_program *program);

/* 0 when the program was compiled for a target this process does not stand in for. */
int engine_loadable(const engine_program *program);

size_t engine_input_count(const engine_program *program);
size_t engine_output_count(const engine_program *program);
const engine_port *engine_input(const engine_program *program, size_t i);
const engine_port *engine_output(const engine_program *program, size_t i);

/* Run once. inputs/outputs: one base pointer per port, in port order. An output may be the memory of an input (resident
 * state): every input value is read before it is overwritten. Buffers may be read up to round_up(bytes, 64).
 * One call at a time per program; different programs may run at once. 0 = ok, else a message in error. */
int engine_execute(engine_program *program, void *const *inputs, void *const *outputs, char *error, size_t error_size);

/* The plan as text: steps, fused groups, arena bytes, resident weight bytes. Free with free(). */
char *engine_explain(const engine_program *program);

#endif
