/* test.h - the least a C test needs. A test file is a program: TEST functions listed in main() with RUN, then
 * `return test_end();`. Output: one line per test, then "N passed, N failed". */
#ifndef ANEFORGE_TEST_H
#define ANEFORGE_TEST_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int test_passed, test_failed, test_current_failed;

#define TEST(name) static void name(void)

#define RUN(name)                                                                                                      \
  do {                                                                                                                 \
    test_current_failed = 0;                                                                                           \
    name();                                                                                                            \
    if (test_current_failed) test_failed++; else test_passed++;                                                        \
    printf("%s %s\n", test_current_failed ? "FAIL" : "ok  ", #name);                                                   \
    fflush(stdout);                                                                                                    \
  } while (0)

#define CHECK(cond, ...)                                                                                               \
  do {                                                                                                                 \
    if (!(cond)) {                                                                                                     \
      test_current_failed = 1;                                                                                         \
      printf("  %s:%d: %s", __FILE__, __LINE__, #cond);                                                                \
      printf("  " __VA_ARGS__);                                                                                        \
      printf("\n");                                                                                                    \
    }                                                                                                                  \
  } while (0)

/* Runs body in a child with its stderr captured; returns the signal that ended it (0 = exited), text gets the stderr. */
__attribute__((unused)) static int test_child(void (*body)(void), char *text, size_t size) {
  int fd[2];
  text[0] = 0;
  if (pipe(fd)) return -1;
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(fd[1], 2);
    close(fd[0]);
    close(fd[1]);
    body();
    fflush(NULL);
    exit(0); /* runs the leak check at exit */
  }
  close(fd[1]);
  size_t used = 0;
  for (;;) {
    char drop[256];
    char *to = used + 1 < size ? text + used : drop;
    size_t room = used + 1 < size ? size - 1 - used : sizeof drop;
    ssize_t got = read(fd[0], to, room);
    if (got <= 0) break;
    if (to != drop) used += (size_t)got;
  }
  text[used] = 0;
  close(fd[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

__attribute__((unused)) static int test_end(void) {
  printf("%d passed, %d failed\n", test_passed, test_failed);
  return test_failed ? 1 : 0;
}

#endif
