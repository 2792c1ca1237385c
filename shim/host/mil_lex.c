/* mil_lex.c - text to tokens, numbers to values, and the way a failure is shown.
 *
 *     ident   = letter or "_" , then letters, digits, "_"
 *     number  = C strtod syntax: decimal integer, decimal fraction, hex float, "inf", "nan", with optional "-"
 *     string  = '"' { any character except '"', a newline or NUL } '"'
 *     punct   = "->" or one of ( ) [ ] { } < > , ; =
 *     comment = "//" to the end of the line
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mil_internal.h"

#define MAX_NUMBER 128 /* characters of one number */
#define MAX_IDENT 1024
#define EXCERPT 120 /* columns of the source line shown */

/* -- Failure ------------------------------------------------------------------------------------------------------- */

/* Appends like snprintf at *used; never past size. */
__attribute__((format(printf, 4, 0))) static void append_v(char *buf, size_t size, size_t *used, const char *format,
                                                           va_list args) {
  if (*used >= size) return;
  int n = vsnprintf(buf + *used, size - *used, format, args);
  if (n > 0) *used = (size_t)n < size - *used ? *used + (size_t)n : size - 1;
}

__attribute__((format(printf, 4, 5))) static void append(char *buf, size_t size, size_t *used, const char *format,
                                                         ...) {
  va_list args;
  va_start(args, format);
  append_v(buf, size, used, format, args);
  va_end(args);
}

/* The source line with a caret below the column. A long line is cut to a window around it; bytes that are not printable
 * ASCII become '?'. */
static void append_excerpt(const mil_reader *r, mil_pos pos, char *buf, size_t size, size_t *used) {
  const char *line = r->text;
  for (int n = 1; n < pos.line && line < r->end; n++) {
    const char *newline = memchr(line, '\n', (size_t)(r->end - line));
    line = newline ? newline + 1 : r->end;
  }
  const char *stop = memchr(line, '\n', (size_t)(r->end - line));
  if (!stop) stop = r->end;
  size_t length = (size_t)(stop - line), col = (size_t)pos.col - 1;
  size_t first = col > EXCERPT * 2 / 3 ? col - EXCERPT * 2 / 3 : 0;
  if (first > length) first = length;
  char shown[EXCERPT + 1];
  size_t n = 0;
  for (; n < EXCERPT && first + n < length; n++) {
    char c = line[first + n];
    shown[n] = c == '\t' || c == '\r' ? ' ' : c < ' ' || c > '~' ? '?' : c;
  }
  shown[n] = 0;
  append(buf, size, used, "\n%s\n%*s^", shown, (int)(col - first), "");
}

_Noreturn void mil_fail(mil_reader *r, mil_pos pos, const char *format, ...) {
  if (r->error && r->error_size) {
    size_t used = 0;
    append(r->error, r->error_size, &used, "%s:%d:%d: error: ", r->file, pos.line, pos.col);
    va_list args;
    va_start(args, format);
    append_v(r->error, r->error_size, &used, format, args);
    va_end(args);
    append_excerpt(r, pos, r->error, r->error_size, &used);
  }
  longjmp(r->failed, 1);
}

_Noreturn void mil_fail_file(mil_reader *r, const char *format, ...) {
  if (r->error && r->error_size) {
    size_t used = 0;
    append(r->error, r->error_size, &used, "%s: error: ", r->file);
    va_list args;
    va_start(args, format);
    append_v(r->error, r->error_size, &used, format, args);
    va_end(args);
  }
  longjmp(r->failed, 1);
}

void *mil_alloc(mil_reader *r, size_t count, size_t size) {
  void *p = count <= SIZE_MAX / 2 / size ? arena_alloc(r->arena, count * size, 16) : NULL;
  if (!p) mil_fail_file(r, "out of memory");
  return p;
}

char *mil_copy_string(mil_reader *r, const char *text, size_t length) {
  char *copy = mil_alloc(r, length + 1, 1);
  memcpy(copy, text, length);
  return copy;
}

/* -- Tokens -------------------------------------------------------------------------------------------------------- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

static mil_pos here(const mil_reader *r) { return (mil_pos){r->line, (int)(r->at - r->line_start) + 1}; }

static void skip_blanks(mil_reader *r) {
  while (r->at < r->end) {
    char c = *r->at;
    if (c == '\n') {
      r->at++;
      r->line++;
      r->line_start = r->at;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      r->at++;
    } else if (c == '/' && r->end - r->at > 1 && r->at[1] == '/') {
      const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
      r->at = newline ? newline : r->end;
    } else {
      return;
    }
  }
}

/* A number runs over letters, digits and dots, and over a sign behind an exponent letter ("e" is a digit in hex). */
static const char *number_end(const mil_reader *r) {
  const char *p = r->at;
  if (p < r->end && *p == '-') p++;
  bool hex = r->end - p > 1 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
  for (; p < r->end; p++) {
    char c = *p;
    if (is_digit(c) || is_letter(c) || c == '.') continue;
    char before = p[-1];
    bool exponent = before == 'p' || before == 'P' || (!hex && (before == 'e' || before == 'E'));
    if ((c == '+' || c == '-') && p > r->at && exponent) continue;
    break;
  }
  return p;
}

void mil_next(mil_reader *r) {
  skip_blanks(r);
  mil_token *t = &r->token;
  *t = (mil_token){TK_EOF, r->at, 0, here(r)};
  if (r->at == r->end) return;
  char c = *r->at, after = r->end - r->at > 1 ? r->at[1] : 0;
  if (is_letter(c)) {
    t->kind = TK_IDENT;
    while (r->at < r->end && (is_letter(*r->at) || is_digit(*r->at))) r->at++;
    t->length = (size_t)(r->at - t->text);
    if (t->length > MAX_IDENT)
      mil_fail(r, t->pos, "a name has %zu characters, at most %d are accepted", t->length, MAX_IDENT);
  } else if (is_digit(c) || (c == '-' && (is_digit(after) || is_letter(after) || after == '.')) ||
             (c == '.' && is_digit(after))) {
    t->kind = TK_NUMBER;
    r->at = number_end(r);
    t->length = (size_t)(r->at - t->text);
    if (t->length >= MAX_NUMBER)
      mil_fail(r, t->pos, "a number has %zu characters, at most %d are accepted", t->length, MAX_NUMBER - 1);
  } else if (c == '"') {
    t->kind = TK_STRING;
    t->text = ++r->at;
    while (r->at < r->end && *r->at != '"' && *r->at != '\n' && *r->at) r->at++;
    if (r->at == r->end || *r->at != '"') mil_fail(r, t->pos, "the string that starts here is not closed on its line");
    t->length = (size_t)(r->at++ - t->text);
  } else if (strchr("()[]{}<>,;=", c) && c) {
    t->kind = TK_PUNCT;
    t->length = 1;
    r->at++;
  } else if (c == '-' && after == '>') {
    t->kind = TK_PUNCT;
    t->length = 2;
    r->at += 2;
  } else if (c == '?') {
    mil_fail(r, t->pos, "an unknown dimension: the ANE has static shapes only");
  } else if (c > ' ' && c <= '~') {
    mil_fail(r, t->pos, "unexpected character '%c'", c);
  } else {
    mil_fail(r, t->pos, "unexpected byte 0x%02x", (unsigned char)c);
  }
}

bool mil_token_is(const mil_token *token, const char *text) {
  return (token->kind == TK_IDENT || token->kind == TK_PUNCT) && strlen(text) == token->length &&
         !memcmp(token->text, text, token->length);
}

bool mil_peek(const mil_reader *r, const char *text) { return mil_token_is(&r->token, text); }

bool mil_accept(mil_reader *r, const char *text) {
  if (!mil_peek(r, text)) return false;
  mil_next(r);
  return true;
}

const char *mil_token_text(const mil_token *token, char *buf, size_t size) {
  int length = token->length < 40 ? (int)token->length : 40;
  if (token->kind == TK_EOF)
    snprintf(buf, size, "the end of the text");
  else if (token->kind == TK_STRING)
    snprintf(buf, size, "the string \"%.*s\"", length, token->text);
  else
    snprintf(buf, size, "'%.*s'", length, token->text);
  return buf;
}

void mil_expect(mil_reader *r, const char *text) {
  if (mil_accept(r, text)) return;
  char seen[80];
  mil_fail(r, r->token.pos, "expected '%s' before %s", text, mil_token_text(&r->token, seen, sizeof seen));
}

/* -- Numbers ------------------------------------------------------------------------------------------------------- */

/* The current number token as a C string. */
static const char *number_text(mil_reader *r, char buf[MAX_NUMBER], const char *what) {
  char seen[80];
  bool word = r->token.kind == TK_IDENT && (mil_peek(r, "inf") || mil_peek(r, "nan"));
  if (r->token.kind != TK_NUMBER && !word)
    mil_fail(r, r->token.pos, "expected %s before %s", what, mil_token_text(&r->token, seen, sizeof seen));
  memcpy(buf, r->token.text, r->token.length);
  buf[r->token.length] = 0;
  return buf;
}

static bool is_hex(const char *text) {
  if (*text == '-') text++;
  return text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
}

double mil_lex_real(mil_reader *r) {
  char buf[MAX_NUMBER], *stop;
  const char *text = number_text(r, buf, "a number");
  /* 0x3c00 would be 15360 here and the bits of 1.0 in other MIL dialects: ask for the exponent that makes it clear */
  if (is_hex(text) && !strpbrk(text, "pP"))
    mil_fail(r, r->token.pos, "'%s' is ambiguous: write a hex float with its exponent, such as 0x1.8p+1", text);
  double value = strtod(text, &stop);
  if (*stop || stop == text) mil_fail(r, r->token.pos, "'%s' is not a number", text);
  mil_next(r);
  return value;
}

int64_t mil_lex_int(mil_reader *r, int64_t min, int64_t max) {
  char buf[MAX_NUMBER], *stop;
  const char *text = number_text(r, buf, "an integer");
  errno = 0;
  long long value = strtoll(text, &stop, is_hex(text) ? 16 : 10);
  if (*stop || stop == text) mil_fail(r, r->token.pos, "'%s' is not an integer", text);
  if (errno == ERANGE || value < min || value > max)
    mil_fail(r, r->token.pos, "%s is out of range: %lld to %lld", text, (long long)min, (long long)max);
  mil_next(r);
  return value;
}

uint64_t mil_lex_uint64(mil_reader *r) {
  char buf[MAX_NUMBER], *stop;
  const char *text = number_text(r, buf, "an integer");
  errno = 0;
  unsigned long long value = strtoull(text, &stop, is_hex(text) ? 16 : 10);
  if (*stop || stop == text) mil_fail(r, r->token.pos, "'%s' is not an integer", text);
  if (errno == ERANGE || *text == '-') mil_fail(r, r->token.pos, "%s is out of range: 0 to 2^64-1", text);
  mil_next(r);
  return value;
}
