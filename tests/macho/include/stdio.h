/* What the shim needs of Apple's <stdio.h> (apple-oss-distributions/Libc, include/_stdio.h). */
#ifndef MACHO_STDIO_H
#define MACHO_STDIO_H
#include <stddef.h>
int snprintf(char *restrict to, size_t size, const char *restrict format, ...) __attribute__((format(printf, 3, 4)));
#endif
