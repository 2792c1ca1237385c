/* engine.c - the engine's entry points: read, plan, run. */
#include "engine.h"

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

/* Capability family by the start of the architecture's name; winograd: 3x3 convolutions are transformed (H17 and later). */
static const struct {
  const char *start;
  bool whole;
  int family;
  bool winograd;
} families[] = {
    {"h11", true, 1, false}, {"h12", true, 1, false}, {"m9", true, 1, false},   {"t0", true, 1, false},
    {"h13", false, 2, false}, {"t1", true, 2, false}, {"h14", false, 3, false}, {"h15", false, 4, false},
    {"m11", true, 4, false}, {"h16", false, 5, false}, {"h17", false, 5, true}, {"h18", false, 5, true},
};

static const char *own_target(void) {
  const char *target = getenv("ANEFORGE_TARGET");
  return target && *target ? target : "h13";
}

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
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    size_t n = strlen(families[i].start);
    if (strncmp(target, families[i].start, n) || (families[i].whole && target[n])) continue;
    profile->family = families[i].family;
    profile->winograd = families[i].winograd;
    return true;
  }
  snprintf(error, error_size, "unknown target \"%s\"", target);
  return false;
}

/* -- Programs ------------------------------------------------------------------------------------------------------------- */

static engine_port *make_ports(mil_value *const *values, int n) {
  engine_port *ports = calloc((size_t)n + 1, sizeof *ports);
  for (int i = 0; i < n && ports; i++) ports[i] = (engine_port){values[i]->name, values[i]->type, mil_bytes(&values[i]->type)};
  return ports;
}

engine_program *engine_compile(const char *mil_path, const char *target, char *error, size_t error_size) {
  char spare[1];
  if (!error || !error_size) error = spare, error_size = sizeof spare;
  error[0] = 0;
  bool given = target && *target;
  num_profile profile;
  if (!set_profile(given ? target : own_target(), &profile, error, error_size)) return NULL;
  engine_program *program = calloc(1, sizeof *program);
  if (!program) {
    snprintf(error, error_size, "out of memory");
    return NULL;
  }
  program->loadable = !given || !strcmp(target, own_target());
  program->mil = mil_read(mil_path, given ? target : own_target(), error, error_size);
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
