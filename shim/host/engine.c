/* engine.c - the engine's entry points: read, plan, run. */
#include "engine.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"

struct engine_program {
  mil_program *mil;
  plan plan;
  exec *exec;
  engine_port *input, *output;
  bool loadable;
};

/* -- Profile ------------------------------------------------------------------------------------------------------------- */

/* A target as it is compared: lower case, no blanks around it. What does not fit is no target and becomes "". */
enum { TARGET_SIZE = 16 };

static void tidy_target(const char *text, char out[TARGET_SIZE]) {
  size_t n;
  while (text && isspace((unsigned char)*text)) text++;
  for (n = text ? strlen(text) : 0; n && isspace((unsigned char)text[n - 1]);) n--;
  if (n >= TARGET_SIZE) n = 0;
  for (size_t i = 0; i < n; i++) out[i] = (char)tolower((unsigned char)text[i]);
  out[n] = 0;
}

/* The machine this engine stands for. */
static const char *own_target(void) {
  const char *target = getenv("ANEFORGE_TARGET");
  return target && *target ? target : "h13";
}

/* Arithmetic of a target; 3x3 convolutions are transformed from H17 on. */
static bool set_profile(const char *target, num_profile *profile, char *error, size_t error_size) {
  const char *numerics = getenv("ANEFORGE_HOST_NUMERICS");
  if (!numerics || !*numerics || !strcmp(numerics, "ane")) {
    profile->mode = NUM_ANE;
  } else if (!strcmp(numerics, "fast")) {
    profile->mode = NUM_FAST;
  } else {
    snprintf(error, error_size, "ANEFORGE_HOST_NUMERICS is \"%s\": it must be \"ane\" or \"fast\"", numerics);
    return false;
  }
  profile->family = mil_target_family(target);
  profile->winograd = !strncmp(target, "h17", 3) || !strncmp(target, "h18", 3);
  if (!profile->family) snprintf(error, error_size, "ANEFORGE_TARGET: unknown target \"%s\"", target);
  return profile->family != 0;
}

/* -- Programs ------------------------------------------------------------------------------------------------------------- */

static engine_port *make_ports(mil_value *const *values, int n) {
  engine_port *ports = calloc((size_t)n + 1, sizeof *ports);
  for (int i = 0; i < n && ports; i++) ports[i] = (engine_port){values[i]->name, values[i]->type, mil_bytes(&values[i]->type)};
  return ports;
}

mil_program *engine_read(const char *mil_path, const char *target, num_profile *profile, bool *loadable, char *error,
                         size_t error_size) {
  char own[TARGET_SIZE], asked[TARGET_SIZE];
  tidy_target(own_target(), own);
  tidy_target(target, asked);
  const char *arch = mil_target_family(asked) ? asked : own; /* like Apple's: what it does not know is for itself */
  *loadable = !strcmp(arch, own);
  return set_profile(arch, profile, error, error_size) ? mil_read(mil_path, arch, error, error_size) : NULL;
}

engine_program *engine_compile(const char *mil_path, const char *target, char *error, size_t error_size) {
  char spare[1];
  if (!error || !error_size) error = spare, error_size = sizeof spare;
  error[0] = 0;
  num_profile profile;
  engine_program *program = calloc(1, sizeof *program);
  if (!program) {
    snprintf(error, error_size, "out of memory");
    return NULL;
  }
  program->mil = engine_read(mil_path, target, &profile, &program->loadable, error, error_size);
  const char *fuse = getenv("ANEFORGE_HOST_FUSE");
  if (program->mil && plan_build(&program->plan, program->mil, profile, !fuse || strcmp(fuse, "0"), error, error_size)) {
    program->input = make_ports(program->mil->param, program->mil->n_params);
    program->output = make_ports(program->mil->output, program->mil->n_outputs);
    program->exec = exec_create(&program->plan);
    if (program->input && program->output && program->exec) {
      program->plan.error = NULL; /* the caller's */
      program->plan.error_size = 0;
      return program;
    }
    snprintf(error, error_size, "out of memory");
  }
  engine_release(program);
  return NULL;
}

void engine_release(engine_program *program) {
  if (!program) return;
  exec_free(program->exec);
  free(program->plan.arena);
  plan_free(&program->plan);
  mil_free(program->mil);
  free(program->input);
  free(program->output);
  free(program);
}

int engine_loadable(const engine_program *program) { return program->loadable; }

size_t engine_input_count(const engine_program *program) { return (size_t)program->plan.n_inputs; }
size_t engine_output_count(const engine_program *program) { return (size_t)program->plan.n_outputs; }

const engine_port *engine_input(const engine_program *program, size_t i) {
  return i < engine_input_count(program) ? &program->input[i] : NULL;
}

const engine_port *engine_output(const engine_program *program, size_t i) {
  return i < engine_output_count(program) ? &program->output[i] : NULL;
}

int engine_execute(engine_program *program, void *const *inputs, void *const *outputs, char *error, size_t error_size) {
  return exec_run(program->exec, inputs, outputs, error, error_size);
}

char *engine_explain(const engine_program *program) { return plan_text(&program->plan); }
