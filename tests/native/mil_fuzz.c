/* mil_fuzz.c - mutates valid MIL programs and weight files and reads them: `mil_fuzz [seconds] [seed] [execs]`.
 * It ends after that many seconds, or earlier when it has read that many programs.
 *
 * Built with AddressSanitizer and UBSan it finds reads past the text, overflows and leaks. By itself it checks that a
 * refused program leaves a message and that an accepted one is sound: every argument the table promises can be asked
 * for, and every constant's payload can be read to its last byte. Runs are the same for the same seed. */
#include <time.h>
#include <unistd.h>

#include "../../shim/host/mil_internal.h"
#include "mil_text.h"

enum { SEEDS = 48, POOL = 256, MAX_LENGTH = 16384 };

static uint64_t state = 1;
static uint64_t run_seed, execs, accepted;

/* PCG: 64-bit LCG, xor-shifted output. */
static uint32_t draw(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((state >> 18 ^ state) >> 27);
}

static uint32_t below(size_t n) { return n ? draw() % (uint32_t)n : 0; }

static _Noreturn void die(const char *rule, const text *program) {
  fprintf(stderr, "mil_fuzz: seed %llu, exec %llu: %s\n%s\n", (unsigned long long)run_seed, (unsigned long long)execs,
          rule, program->data);
  abort();
}

/* -- Valid programs ------------------------------------------------------------------------------------------------ */

typedef struct {
  int rank, dim[5];
} shape;

static const char *spell(shape s, char buf[80]) {
  int n = snprintf(buf, 80, "tensor<fp16, [");
  for (int i = 0; i < s.rank; i++) n += snprintf(buf + n, 80 - (size_t)n, "%s%d", i ? ", " : "", s.dim[i]);
  snprintf(buf + n, 80 - (size_t)n, "]>");
  return buf;
}

static void add_list(text *t, const char *suffix, int id, const int *v, int n) {
  text_add(t, "        tensor<int32, [%d]> t%d_%s = const()[name = string(\"t%d_%s\"), val = tensor<int32, [%d]>([", n,
           id, suffix, id, suffix, n);
  for (int i = 0; i < n; i++) text_add(t, "%s%d", i ? ", " : "", v[i]);
  text_add(t, "])];\n");
}

static const char *const unary[] = {"relu(x = t%d)",
                                    "tanh(x = t%d)",
                                    "gelu(mode = string(\"EXACT\"), x = t%d)",
                                    "square(x = t%d)",
                                    "rsqrt(epsilon=fp16(0x1p-10), x=t%d)",
                                    "leaky_relu(alpha = fp16(0.01), x = t%d)",
                                    "clip(alpha = fp16(-inf), beta = fp16(0x1.8p+2), x = t%d)",
                                    "softmax(axis = int32(-1), x = t%d)",
                                    "mul(x = t%d, y = fp16(0.5))",
                                    "round(x = t%d)",
                                    "reverse(x = t%d)"};
static const char *const binary[] = {"add", "sub", "mul", "real_div", "maximum", "minimum", "pow"};

/* Statement t<id> over t<from>, of shape s; returns the shape of the result. */
static shape add_statement(text *t, int id, int from, shape s) {
  char type[80];
  int list[5], axis = (int)below((size_t)s.rank);
  shape out = s;
  switch (below(9)) {
  case 0:
    text_add(t, "        %s t%d = %s(x = t%d, y = t%d)[name = string(\"t%d\")];\n", spell(s, type), id,
             binary[below(7)], from, from, id);
    return out;
  case 1:
    for (int i = 0; i < s.rank; i++) list[i] = (i + 1) % s.rank, out.dim[i] = s.dim[list[i]];
    add_list(t, "p", id, list, s.rank);
    text_add(t, "        %s t%d = transpose(perm = t%d_p, x = t%d)[name = string(\"t%d\")];\n", spell(out, type), id,
             id, from, id);
    return out;
  case 2:
    out = (shape){1, {1}};
    for (int i = 0; i < s.rank; i++) out.dim[0] *= s.dim[i];
    add_list(t, "sh", id, out.dim, 1);
    text_add(t, "        %s t%d = reshape(shape = t%d_sh, x = t%d)[name = string(\"t%d\")];\n", spell(out, type), id,
             id, from, id);
    return out;
  case 3:
    out.dim[axis] = 1;
    add_list(t, "ax", id, &axis, 1);
    text_add(t, "        %s t%d = reduce_sum(axes=t%d_ax, keep_dims=bool(true), x=t%d)[name=string(\"t%d\")];\n",
             spell(out, type), id, id, from, id);
    return out;
  case 4:
    out.dim[axis] *= 2;
    text_add(t,
             "        %s t%d = concat(axis = int32(%d), interleave = bool(false), values = (t%d, t%d))[name = "
             "string(\"t%d\")];\n",
             spell(out, type), id, axis, from, from, id);
    return out;
  case 5:
    text_add(t,
             "        %s t%d_w = const()[name = string(\"t%d_w\"), val = %s(BLOBFILE(path = "
             "string(\"@model_path/weights.bin\"), "
             "offset = uint64(64)))];\n",
             "tensor<fp16, [3]>", id, id, "tensor<fp16, [3]>");
    text_add(t, "        fp16 t%d_m = reduce_mean(x = t%d_w)[name = string(\"t%d_m\")];\n", id, id, id);
    text_add(t, "        %s t%d = add(x = t%d, y = t%d_m)[name = string(\"t%d\")];\n", spell(s, type), id, from, id,
             id);
    return out;
  case 6:
    for (int i = 0; i < s.rank; i++) list[i] = 0;
    add_list(t, "b", id, list, s.rank);
    out.dim[axis] = 1;
    add_list(t, "sz", id, out.dim, s.rank);
    text_add(t, "        %s t%d = slice_by_size(begin = t%d_b, size = t%d_sz, x = t%d)[name = string(\"t%d\")];\n",
             spell(out, type), id, id, id, from, id);
    return out;
  default:
    text_add(t, "        %s t%d = ", spell(s, type), id);
    text_add(t, unary[below(sizeof unary / sizeof *unary)], from);
    text_add(t, "[name = string(\"t%d\")];\n", id);
    return out;
  }
}

/* Operations with many arguments, whole. */
static const char *const fixed[][3] = {
    {"tensor<fp16, [1, 4, 6, 8]> t0",
     "tensor<fp16, [1, 1, 3, 4]> t1 = conv(dilations = tensor<int32, [2]>([1, 1]), groups = int32(1), pad = "
     "tensor<int32, [4]>([0, 1, 1, 0]), "
     "pad_type = string(\"custom\"), strides = tensor<int32, [2]>([2, 2]), weight = tensor<fp16, [1, 4, 2, "
     "2]>(BLOBFILE(path = "
     "string(\"@model_path/weights.bin\"), offset = uint64(134))), x = t0)[name = string(\"t1\")];",
     "t1"},
    {"tensor<fp16, [1, 4, 6, 8]> t0",
     "tensor<fp16, [1, 4, 3, 4]> t1 = avg_pool(ceil_mode = bool(true), exclude_padding_from_average = bool(false), "
     "kernel_sizes = "
     "tensor<int32, [2]>([2, 2]), pad = tensor<int32, [4]>([0, 0, 0, 0]), pad_type = string(\"custom\"), strides = "
     "tensor<int32, "
     "[2]>([2, 2]), x = t0)[name = string(\"t1\")];",
     "t1"},
    {"tensor<fp16, [2, 4]> t0",
     "tensor<fp16, [2, 1]> a, tensor<fp16, [2, 3]> b = split(axis = int32(1), split_sizes = tensor<int32, [2]>([1, "
     "3]), x = t0)[name = "
     "string(\"s\")]; tensor<bool, [2, 3]> c = less(x = a, y = b)[name = string(\"c\")]; tensor<fp16, [2, 3]> d = "
     "select(a = a, b = b, cond = "
     "c)[name = string(\"d\")];",
     "a, d"},
    {"tensor<uint8, [1, 2, 2]> t0",
     "tensor<fp16, [1, 2, 2]> t1 = cast(dtype = string(\"fp16\"), x = t0)[name = string(\"t1\")]; tensor<fp16, [1, 2, "
     "2, 1]> t2 = "
     "expand_dims(axes = tensor<int32, [1]>([3]), x = t1)[name = string(\"t2\")];",
     "t2"},
    {"tensor<fp16, [3, 8]> t0",
     "tensor<fp16, [4, 8]> w = constexpr_affine_dequantize()[axis = int32(0), name = string(\"w\"), quantized_data = "
     "tensor<int8, [4, 8]>"
     "(BLOBFILE(path = string(\"@model_path/weights.bin\"), offset = uint64(230))), scale = tensor<fp16, [4]>([1, 2, "
     "3, 4]), zero_point = "
     "int8(0)]; tensor<fp16, [3, 4]> t1 = linear(weight = w, x = t0)[name = string(\"t1\")];",
     "t1"},
    {"tensor<fp16, [12]> t0",
     "tensor<fp16, [12]> w = constexpr_sparse_to_dense(mask = tensor<uint1, [12]>(BLOBFILE(path = "
     "string(\"@model_path/weights.bin\"), offset "
     "= uint64(326))), nonzero_data = tensor<fp16, [3]>([1, 2, 3]))[name = string(\"w\")]; tensor<fp16, [12]> t1 = "
     "mul(x = t0, y = w)[name = "
     "string(\"t1\")];",
     "t1"},
    {"tensor<fp16, [4, 8]> t0",
     "tensor<fp16, [4, 8]> w = constexpr_lut_to_dense(indices = tensor<uint4, [4, 8]>(BLOBFILE(path = "
     "string(\"@model_path/weights.bin\"), "
     "offset = uint64(392))), lut = tensor<fp16, [1, 1, 16, "
     "1]>([[[[1],[2],[3],[4],[5],[6],[7],[8],[9],[1],[2],[3],[4],[5],[6],[7]]]]))"
     "[name = string(\"w\")]; tensor<fp16, [4, 8]> t1 = add(x = t0, y = w)[name = string(\"t1\")];",
     "t1"},
};

static void make_program(text *t) {
  uint32_t which = below(3);
  if (!which) {
    uint32_t i = below(sizeof fixed / sizeof *fixed);
    text_program(t, "ios18", fixed[i][0], fixed[i][1], fixed[i][2]);
    return;
  }
  text body = {0};
  shape shapes[16];
  shapes[0] = (shape){2 + (int)below(3), {1 + (int)below(3), 1 + (int)below(4), 1 + (int)below(5), 2}};
  int n = 2 + (int)below(6);
  for (int i = 1; i <= n; i++) {
    int from = (int)below((size_t)i);
    shapes[i] = add_statement(&body, i, from, shapes[from]);
  }
  char type[80], param[96], output[16];
  snprintf(param, sizeof param, "%s t0", spell(shapes[0], type));
  snprintf(output, sizeof output, "t%d", n);
  text_program(t, "ios18", param, body.data, output);
  text_free(&body);
}

static void make_weights(text *t) {
  uint8_t data[64] = {0};
  blob_start(t);
  blob_add(t, 1, data, 6);
  blob_add(t, 1, data, 32);
  blob_add(t, 4, data, 32);
  data[0] = 7;
  blob_add(t, 9, data, 2);
  blob_add(t, 11, data, 16);
}

/* -- Mutation ------------------------------------------------------------------------------------------------------ */

static const char *const dictionary[] = {"0",
                                         "-1",
                                         "1",
                                         "2",
                                         "5",
                                         "6",
                                         "65536",
                                         "65537",
                                         "2147483647",
                                         "-2147483648",
                                         "4294967296",
                                         "18446744073709551615",
                                         "1e999",
                                         "nan",
                                         "-inf",
                                         "0x1p-1074",
                                         "0x",
                                         "1e",
                                         "(",
                                         ")",
                                         "[",
                                         "]",
                                         "<",
                                         ">",
                                         "{",
                                         "}",
                                         ",",
                                         ";",
                                         "=",
                                         "->",
                                         "//",
                                         "\"",
                                         "\n",
                                         "\0",
                                         "\xff",
                                         "tensor",
                                         "fp16",
                                         "fp32",
                                         "bool",
                                         "int32",
                                         "uint4",
                                         "uint1",
                                         "string",
                                         "dict",
                                         "state",
                                         "const",
                                         "()",
                                         "[]",
                                         "([])",
                                         "true",
                                         "name",
                                         "val",
                                         "BLOBFILE",
                                         "tensor<int32, [0]>([])",
                                         "tensor<fp16, [65536, 65536]>",
                                         "tensor<fp16, [1, 1, 1, 1, 1]>",
                                         "int32(-2147483648)",
                                         "bool(false)",
                                         "t0",
                                         "t1",
                                         "matmul",
                                         "conv",
                                         "reshape",
                                         "transpose",
                                         "expand_dims",
                                         "squeeze",
                                         "stack",
                                         "tile",
                                         "flatten2d",
                                         "prelu",
                                         "split",
                                         "upsample_nearest_neighbor",
                                         "x",
                                         "y",
                                         "axes",
                                         "axis",
                                         "perm",
                                         "shape",
                                         "strides",
                                         "pad",
                                         "groups",
                                         "ios15",
                                         "uint64(1)",
                                         "tensor<fp16, []>"};

static void replace(text *t, size_t at, size_t length, const void *with, size_t n) {
  text out = {0};
  text_bytes(&out, t->data, at);
  text_bytes(&out, with, n);
  text_bytes(&out, t->data + at + length, t->length - at - length);
  text_free(t);
  *t = out;
}

/* A token (a run of letters and digits, or one other byte) that starts at or behind a random place. */
static size_t pick_token(const text *t, size_t *length) {
  size_t at = below(t->length);
  while (at < t->length && strchr(" \n", t->data[at])) at++;
  size_t end = at;
  while (end < t->length && (strchr("._-+", t->data[end]) || (t->data[end] >= '0' && t->data[end] <= 'z')) &&
         !strchr("<>=;[]", t->data[end]))
    end++;
  *length = end > at ? end - at : at < t->length;
  return at;
}

static void mutate(text *t, const text *other) {
  size_t length, length2, at = below(t->length), n = below(32);
  if (!t->length) return;
  const char *word = dictionary[below(sizeof dictionary / sizeof *dictionary)];
  switch (below(9)) {
  case 0: t->data[at] = (char)(t->data[at] ^ 1 << below(8)); return;
  case 1: t->data[at] = (char)draw(); return;
  case 2: t->length = at; return;                                                 /* truncation */
  case 3: replace(t, at, n < t->length - at ? n : t->length - at, "", 0); return; /* deletion */
  case 4: at = pick_token(t, &length), replace(t, at, length, word, *word ? strlen(word) : 1); return;
  case 5: replace(t, at, 0, word, *word ? strlen(word) : 1); return; /* insertion */
  case 6: {                                                          /* a token from elsewhere */
    size_t from = pick_token(other, &length2);
    at = pick_token(t, &length);
    replace(t, at, length, other->data + from, length2);
    return;
  }
  case 7: { /* a line again, or another's */
    const text *source = draw() & 1 ? t : other;
    text line = {0};
    size_t first = below(source->length);
    while (first && source->data[first - 1] != '\n') first--;
    for (size_t i = first; i < source->length && (i == first || source->data[i - 1] != '\n'); i++)
      text_bytes(&line, source->data + i, 1);
    while (at && t->data[at - 1] != '\n') at--;
    replace(t, at, 0, line.data, line.length);
    text_free(&line);
    return;
  }
  default: /* the tail of another */
    length = below(other->length);
    replace(t, at, t->length - at, other->data + length, other->length - length);
    return;
  }
}

/* -- Reading ------------------------------------------------------------------------------------------------------- */

static volatile uint8_t sink;

static void check_value(const mil_value *v, const text *program) {
  char shown[200];
  mil_type_text(&v->type, shown, sizeof shown);
  if (v->type.rank < 0 || v->type.rank > MIL_MAX_DIMS || mil_elements(&v->type) < 0) die("a type is broken", program);
  if (v->is_const && v->type.dtype == MIL_STRING && strlen(v->data) != v->bytes) die("a string is broken", program);
  if (!v->is_const || v->type.dtype == MIL_STRING) return;
  if (v->bytes != mil_bytes(&v->type)) die("a constant has the wrong size", program);
  for (size_t i = 0; i < v->bytes; i++) sink = ((const uint8_t *)v->data)[i];
}

/* Asks for every argument of the table, present or not. */
static void check_op(const mil_op *op, const text *program) {
  int64_t list[8];
  for (int i = 0; i < op->info->n_args; i++) {
    const mil_arg_info *info = &op->info->arg[i];
    int count;
    mil_value *const *value = mil_get_tuple(op, info->name, &count);
    if (!value && info->default_kind == DEFAULT_NONE) die("a required argument is absent", program);
    for (int k = 0; k < count; k++) check_value(value[k], program);
    if (info->form == FORM_LIST) {
      int n = mil_ints(op, info->name, list, 8);
      for (int k = 0; k < n; k++) sink = (uint8_t)list[k];
    }
    if (info->form == FORM_SCALAR && info->types == 1 << MIL_STRING)
      sink = (uint8_t)*mil_string(op, info->name);
    else if (info->form == FORM_SCALAR)
      sink = (uint8_t)mil_bool(op, info->name), sink = mil_real(op, info->name) > 0;
  }
  for (int i = 0; i < op->n_results; i++) {
    const mil_type *type = &op->result[i]->type;
    check_value(op->result[i], program);
    if (type->rank > MIL_MAX_RANK) die("a result has too many axes", program);
    for (int k = 0; k < type->rank; k++)
      if (type->dim[k] < 1 || type->dim[k] > MIL_MAX_EXTENT) die("a result has a bad extent", program);
  }
}

static bool read_one(const text *program, const char *dir) {
  static const char *const targets[] = {"h13", "h14", "h15", "h16s"};
  char error[600];
  char *exact = malloc(program->length ? program->length : 1);
  if (!exact) abort();
  memcpy(exact, program->data, program->length);
  memset(error, '#', sizeof error);
  size_t room = below(50) ? sizeof error : below(sizeof error);
  mil_program *p = mil_read_text(exact, program->length, dir, targets[execs % 4], error, room);
  free(exact);
  execs++;
  if (room && strnlen(error, room) == room) die("the message is not closed", program);
  if (!p && room > 1 && !*error) die("there is no message", program);
  for (int i = 0; p && i < p->n_ops; i++) check_op(p->op[i], program);
  for (int i = 0; p && i < p->n_outputs; i++)
    if (!p->output[i]->producer || p->output[i]->is_const) die("an output is not computed", program);
  mil_free(p);
  accepted += p != NULL;
  return p != NULL;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 3;
  char dir[] = "/tmp/mil_fuzz.XXXXXX";
  text pool[POOL] = {0}, weights = {0}, current = {0};
  run_seed = state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  if (!mkdtemp(dir)) return 1;
  make_weights(&weights);
  write_file(dir, "weights.bin", weights.data, weights.length);
  int pooled = 0;
  uint64_t sown = 0, valid = 0;
  uint64_t enough = argc > 3 ? strtoull(argv[3], NULL, 10) : UINT64_MAX;
  double stop = now() + seconds;
  for (int round = 0; now() < stop && execs < enough; round++) {
    if (round % 64 == 0) { /* new seeds, before the pool drifts to comments and strings */
      write_file(dir, "weights.bin", weights.data, weights.length);
      for (pooled = 0; pooled < SEEDS; pooled++) {
        text_free(&pool[pooled]);
        make_program(&pool[pooled]);
        valid += read_one(&pool[pooled], dir);
      }
      if (valid < (sown += SEEDS) / 2) die("too few of the seeds are valid", &pool[0]);
    }
    for (int i = 0; i < 256; i++) {
      if (i % 64 == 0) { /* one damaged byte in the weight file, half of the time */
        text damaged = {0};
        text_bytes(&damaged, weights.data, weights.length);
        if (draw() & 1) damaged.data[below(damaged.length)] ^= (char)(1 << below(8));
        if (!below(8)) damaged.length = below(damaged.length);
        write_file(dir, "weights.bin", damaged.data, damaged.length);
        text_free(&damaged);
      }
      const text *from = &pool[below((size_t)pooled)];
      text_bytes(&current, from->data, from->length);
      for (int n = 1 + (int)below(3); n; n--) mutate(&current, &pool[below((size_t)pooled)]);
      if (read_one(&current, dir) && current.length < MAX_LENGTH) { /* keep what still reads: mutations add up */
        int slot = pooled < POOL ? pooled++ : SEEDS + (int)below(POOL - SEEDS);
        text_free(&pool[slot]);
        pool[slot] = current;
        current = (text){0};
      }
      text_free(&current);
    }
  }
  printf("mil_fuzz: seed %llu, %llu execs, %llu accepted, %llu of %llu seeds valid\n", (unsigned long long)run_seed,
         (unsigned long long)execs, (unsigned long long)accepted, (unsigned long long)valid, (unsigned long long)sown);
  for (int i = 0; i < POOL; i++) text_free(&pool[i]);
  text_free(&weights);
  char path[64];
  snprintf(path, sizeof path, "%s/weights.bin", dir);
  unlink(path);
  rmdir(dir);
  printf("1 passed, 0 failed\n");
  return 0;
}
