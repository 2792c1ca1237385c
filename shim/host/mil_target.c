/* mil_target.c - the compiler targets and the limits of their capability families. */
#include <string.h>
#include <strings.h>

#include "mil_internal.h"

/* Families: 1 = A11/A12 (no MIL), 2 = A13/M1, 3 = A14/M2, 4 = A15/M3, 5 = A16 and later (M4, M5). The compiler also
 * lists u1, u2 and u3, reference targets without silicon; like any unknown name they compile for the host. */
static const struct {
  char name[6];
  uint8_t family;
} targets[] = {
    {"h11", 1},  {"h12", 1},  {"m9", 1},   {"t0", 1},   {"h13", 2},  {"h13g", 2}, {"t1", 2},   {"h14", 3},  {"h14g", 3},
    {"h14c", 3}, {"h15", 4},  {"h15g", 4}, {"h15c", 4}, {"m11", 4},  {"h16", 5},  {"h16g", 5}, {"h16c", 5}, {"h16s", 5},
    {"h17", 5},  {"h17a", 5}, {"h17g", 5}, {"h17s", 5}, {"h17c", 5}, {"h17d", 5}, {"h18", 5},
};

int mil_target_family(const char *target) {
  if (!target) return 0;
  for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
    if (!strcasecmp(target, targets[i].name)) return targets[i].family;
  return 0;
}

/* Limits the compiler itself enforces, by family. Measured: 13 columns compile on M1 and 14 do not, 15 compile on M5
 * and 16 do not; A14 and A15 are taken to be like A13. Height has no cap. The per-family extents (16384 below A16) are
 * not here on purpose: the compiler does not check them for another target, so the front end does; what it always
 * refuses is an extent above MIL_MAX_EXTENT or a rank above MIL_MAX_RANK. */
static const uint8_t max_kernel_width[] = {[2] = 13, [3] = 13, [4] = 13, [5] = 15};

int mil_max_kernel_width(int family) { return max_kernel_width[family]; }
