/* The MIL reader: grammar, numbers, weight files, messages. What operations accept: mil_ops_test.c. */
#include <limits.h>
#include <math.h>
#include <sys/stat.h>

#include "mil_fixture.h"

/* -- Whole programs ------------------------------------------------------------------------------------------------ */

static const char example[] = MIL_HEADER
    "{\n"
    "    func main<ios18>(tensor<fp16, [2, 8]> t0) {\n"
    "        tensor<fp16, [4, 8]> t1_w = const()[name = string(\"t1_w\"), val = tensor<fp16, [4, 8]>(BLOBFILE(path = "
    "string(\"@model_path/weights.bin\"), offset = uint64(64)))];\n"
    "        tensor<fp16, [2, 4]> t1 = matmul(transpose_x = bool(false), transpose_y = bool(true), x = t0, y = "
    "t1_w)[name = "
    "string(\"t1\")];\n"
    "        tensor<fp16, [1, 4]> t1_b = const()[name = string(\"t1_b\"), val = tensor<fp16, [1, 4]>(BLOBFILE(path = "
    "string(\"@model_path/weights.bin\"), offset = uint64(192)))];\n"
    "        tensor<fp16, [2, 4]> t1_bb = add(x = t1, y = t1_b)[name = string(\"t1_bb\")];\n"
    "    } -> (t1_bb);\n"
    "}\n";

TEST(the_complete_example) {
  mil_program *p = read_exact(example, sizeof example - 1, "h13");
  CHECK(p, "%s", error);
  if (!p) return;
  CHECK(!*error);
  CHECK(p->n_params == 1 && !strcmp(p->param[0]->name, "t0") && p->param[0]->index == 0 && !p->param[0]->producer);
  CHECK(p->n_ops == 2 && mil_op_id_of(p->op[0]) == OP_MATMUL && mil_op_id_of(p->op[1]) == OP_ADD);
  CHECK(p->n_outputs == 1 && p->output[0] == p->op[1]->result[0]);
  const mil_value *w = mil_get(p->op[0], "y"), *b = mil_get(p->op[1], "y");
  CHECK(w->is_const && w->bytes == 64 && mil_op_id_of(w->producer) == OP_CONST && w->line == 5 && w->col == 30);
  for (int i = 0; i < 32; i++) CHECK(((const uint16_t *)w->data)[i] == i, "%d", i);
  CHECK(b->is_const && ((const uint16_t *)b->data)[3] == 0xfff0 + 3);
  CHECK(!mil_bool(p->op[0], "transpose_x") && mil_bool(p->op[0], "transpose_y"));
  CHECK(p->op[0]->line == 6 && p->op[0]->col == 35, "%d:%d", p->op[0]->line, p->op[0]->col);
  CHECK(p->weight_bytes == 906, "%zu", p->weight_bytes);
  bool seen[64] = {0};
  CHECK(p->n_values <= 64);
  for (int i = 0; i < p->n_ops; i++)
    for (int k = 0; k < p->op[i]->n_args; k++) seen[p->op[i]->arg[k].value[0]->index] = true;
  CHECK(seen[0] && seen[w->index] && seen[b->index]);
  mil_free(p);
}

TEST(every_prefix_is_refused) {
  size_t whole = sizeof example - 2; /* the last newline may be missing */
  for (size_t n = 0; n < whole; n++) {
    mil_program *p = read_exact(example, n, "h13");
    CHECK(!p, "prefix of %zu bytes", n);
    CHECK(!p && has(": error: "), "prefix of %zu bytes: %s", n, error);
    mil_free(p);
  }
}

/* Programs in the words of the emitter, one per construct of the language. */
static const char *const accepted[][3] = {
    /* two inputs, signature in creation order */
    {"tensor<fp16, [1, 4]> t1, tensor<fp16, [1, 4]> t0",
     "tensor<fp16, [1, 4]> t2 = add(x = t1, y = t0)[name = string(\"t2\")];", "t2"},
    /* scalar constant */
    {"tensor<fp16, [1, 4]> t0",
     "fp16 t1_k = const()[name = string(\"t1_k\"), val = fp16(0x1.0000000000000p+0)];\n"
     "tensor<fp16, [1, 4]> t1 = mul(x = t0, y = t1_k)[name = string(\"t1\")];",
     "t1"},
    {"tensor<fp16, [2, 8]> t0",
     "int32 t1_ax = const()[name = string(\"t1_ax\"), val = int32(1)];\n"
     "tensor<fp16, [2, 8]> t1 = softmax(axis = t1_ax, x = t0)[name = string(\"t1\")];",
     "t1"},
    /* image input */
    {"tensor<uint8, [1, 3, 4, 4]> t0",
     "string t1_d = const()[name = string(\"t1_d\"), val = string(\"fp16\")];\n"
     "tensor<fp16, [1, 3, 4, 4]> t1 = cast(dtype = t1_d, x = t0)[name = string(\"t1\")];\n"
     "fp16 t2_k = const()[name = string(\"t2_k\"), val = fp16(0x1.0100000000000p-8)];\n"
     "tensor<fp16, [1, 3, 4, 4]> t2 = mul(x = t1, y = t2_k)[name = string(\"t2\")];",
     "t2"},
    /* rank-0 array constant from the weight file */
    {"tensor<fp16, [2, 8]> t1",
     "tensor<fp16, []> t0 = const()[name = string(\"t0\"), val = tensor<fp16, []>(BLOBFILE(path = "
     "string(\"@model_path/weights.bin\"), offset = uint64(264)))];\n"
     "tensor<fp16, [2, 8]> t2 = add(x = t1, y = t0)[name = string(\"t2\")];",
     "t2"},
    /* several results */
    {"tensor<fp16, [2, 4]> t0",
     "int32 t1_ns = const()[name = string(\"t1_ns\"), val = int32(2)];\n"
     "int32 t1_ax = const()[name = string(\"t1_ax\"), val = int32(1)];\n"
     "tensor<fp16, [2, 2]> t1_part0, tensor<fp16, [2, 2]> t1_part1 = split(axis = t1_ax, num_splits = t1_ns, x = "
     "t0)[name = "
     "string(\"t1_split\")];\n"
     "tensor<fp16, [2, 2]> t3 = add(x = t1_part0, y = t1_part1)[name = string(\"t3\")];",
     "t3"},
    /* the spelling without blanks */
    {"tensor<fp16, [2, 4]> t0",
     "tensor<int32,[1]> t1_ax = const()[name=string(\"t1_ax\"), val=tensor<int32,[1]>([1])];\n"
     "bool t1_kd = const()[name=string(\"t1_kd\"), val=bool(true)];\n"
     "tensor<fp16, [2, 1]> t1_mu = reduce_mean(axes=t1_ax, keep_dims=t1_kd, x=t0)[name=string(\"t1_mu\")];\n"
     "tensor<fp16,[2,1]> t1=rsqrt(epsilon=fp16(0.0),x=t1_mu)[name=string(\"t1\")];",
     "t1"},
    /* blanks and newlines everywhere, comments */
    {"tensor < fp16 , [ 2 , 4 ] > t0",
     "// first\n\ttensor < fp16 , [ 2 , 4 ] >\r\n t1\n=\nrelu ( x = t0 ) [ name = string ( \"t1\" ) ] ; // last\n",
     "t1"},
    /* value of a constant as a call argument; tuple of one; empty list; nested list; two outputs */
    {"tensor<fp16, [1, 2]> a",
     "fp16 k = const(val = fp16(0.125))[name = string(\"k\")];\n"
     "tensor<int32, [0]> none = const()[name = string(\"none\"), val = tensor<int32, [0]>([])];\n"
     "tensor<fp16, [2, 2]> m = const()[name = string(\"m\"), val = tensor<fp16, [2, 2]>([[1, 2.5], [-0x1p-3, inf]])];\n"
     "tensor<fp16, [1, 2]> b = concat(axis = int32(0), interleave = bool(false), values = (a))[name = string(\"b\")];\n"
     "tensor<fp16, [2, 2]> c = mul(x = b, y = m)[name = string(\"c\")];\n"
     "tensor<fp16, [1, 2]> d = mul(x = b, y = k)[name = string(\"d\")];",
     "c, d"},
    {"", "fp16 k = const()[name = string(\"k\"), val = fp16(1)]; fp16 r = relu(x = k)[name = string(\"r\")];", "r"},
};

TEST(accepted_programs) {
  for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
    mil_program *p = read_program("h13", accepted[i][0], accepted[i][1], accepted[i][2]);
    CHECK(p, "program %zu: %s", i, error);
    if (i == 8 && p) {
      const uint16_t *m = mil_get(p->op[1], "y")->data;
      CHECK(m[0] == 0x3c00 && m[1] == 0x4100 && m[2] == 0xb000 && m[3] == 0x7c00);
      CHECK(p->n_outputs == 2 && mil_real(p->op[2], "y") == 0.125);
    }
    mil_free(p);
  }
}

TEST(opsets_and_targets) {
  static const char *const opsets[] = {"ios15", "ios16", "ios17", "ios18"};
  for (int i = 0; i < 4; i++) {
    text t = {0};
    text_program(&t, opsets[i], "fp16 a", "fp16 b = relu(x = a)[name = string(\"b\")];", "b");
    mil_program *p = read_exact(t.data, t.length, "h13");
    CHECK(p, "%s", error);
    mil_free(p);
    text_free(&t);
  }
  static const struct {
    const char *target;
    int family;
  } targets[] = {{"h11", 1}, {"t0", 1},   {"h13", 2}, {"H13G", 2}, {"t1", 2}, {"h14c", 3},
                 {"m11", 4}, {"h16s", 5}, {"h18", 5}, {"h99", 0},  {"", 0}};
  for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
    CHECK(mil_target_family(targets[i].target) == targets[i].family, "%s", targets[i].target);
    mil_program *p = read_program(targets[i].target, "fp16 a", "fp16 b = relu(x = a)[name = string(\"b\")];", "b");
    CHECK(!p == (targets[i].family == 1), "%s: %s", targets[i].target, error);
    if (!p) CHECK(has("MIL is only supported for H13+ ANE architectures"), "%s", error);
    mil_free(p);
  }
  CHECK(mil_target_family(NULL) == 0);
}

/* -- Rejections of the grammar ------------------------------------------------------------------------------------- */

#define P "tensor<fp16, [2, 4]> a"
#define N "[name = string(\"b\")];"
#define R "tensor<fp16, [2, 4]> b = "

/* params, body, outputs, target, part of the message */
static const char *const rejected[][5] = {
    /* names */
    {P, R "relu(x = z)" N, "b", "h13", "'z' is not defined before this line"},
    {P, R "relu(x = b)" N, "b", "h13", "'b' is not defined before this line"},
    {P, "tensor<fp16, [2, 4]> a = relu(x = a)[name = string(\"a\")];", "a", "h13", "'a' is already defined in line 4"},
    {P ", " P, R "relu(x = a)" N, "b", "h13", "'a' is already defined"},
    {P, R "relu(x = a)" N, "c", "h13", "'c' is not defined"},
    {P, R "relu(x = a)" N, "b, b", "h13", "output 'b' is listed twice"},
    {P, "tensor<fp16, [2, 4]> bool = relu(x = a)[name = string(\"bool\")];", "b", "h13",
     "'bool' is a type and cannot name a result"},
    {P, R "relu(x = a)[name = string(\"c\")];", "b", "h13", "the name attribute is \"c\" and the result is 'b'"},
    {P, R "relu(x = a)[];", "b", "h13", "unknown attribute ']'"},
    {P, R "relu(x = a);", "b", "h13", "expected '[' before ';'"},
    {P, R "relu(x = a)[other = string(\"b\")];", "b", "h13", "unknown attribute 'other'"},
    {P, R "relu(x = a)[name = string(\"b\"), name = string(\"b\")];", "b", "h13", "given twice"},
    /* arguments */
    {P, R "frobnicate(x = a)" N, "b", "h13", "MIL has no operation 'frobnicate'"},
    {P, R "relu(z = a)" N, "b", "h13", "relu has no argument 'z'"},
    {P, R "relu(x = a, x = a)" N, "b", "h13", "relu: 'x' is given twice"},
    {P, R "relu()" N, "b", "h13", "relu: the argument 'x' is missing"},
    {P, R "relu(x = (a))" N, "b", "h13", "'x' takes one value, not a tuple"},
    {P, R "concat(axis = int32(0), values = a)" N, "b", "h13", "'values' takes a tuple"},
    {P, R "relu(x = )" N, "b", "h13", "expected a value before ')'"},
    {P, R "relu(a)" N, "b", "h13", "relu has no argument 'a'"},
    {P, R "softmax(axis = const(int32(1)), x = a)" N, "b", "h13", "not 'const'"},
    {P, R "softmax(axis = a, x = a)" N, "b", "h13", "softmax: 'axis' must be a constant, 'a' is computed"},
    {P, R "softmax(axis = tensor<int32, [1]>([1]), x = a)" N, "b", "h13",
     "'axis' must be a scalar, it is tensor<int32, [1]>"},
    {P, R "softmax(axis = fp16(1.0), x = a)" N, "b", "h13", "'axis' is fp16, accepted are: int32"},
    {P, R "softmax(axis = int32(2), x = a)" N, "b", "h13", "'axis' is 2, accepted are -2 to 1"},
    {P, R "softmax(axis = int32(-3), x = a)" N, "b", "h13", "'axis' is -3"},
    {P, R "transpose(perm = int32(1), x = a)" N, "b", "h13", "'perm' must be a list, it is int32"},
    {P, R "gelu(mode = string(\"exact\"), x = a)" N, "b", "h13",
     "'mode' is \"exact\", accepted are: TANH_APPROXIMATION|"},
    {P, R "gelu(mode = string(\"\"), x = a)" N, "b", "h13", "'mode' is \"\""},
    {P, R "gelu(x = a)" N, "b", "h13", "gelu: the argument 'mode' is missing (TANH_"},
    {P, R "log(x = a)" N, "b", "h13", "log: the argument 'epsilon' is missing"},
    {P, R "add(x = a, y = fp32(1))" N, "b", "h13", "'y' is fp32: the ANE computes in fp16"},
    {P, R "add(x = a, y = int32(1))" N, "b", "h13", "'y' is int32: the ANE computes in fp16"},
    {P, R "clip(alpha = fp16(0), beta = fp32(1), x = a)" N, "b", "h13",
     "'beta' is fp32: they must have the same dtype"},
    {P, R "max_pool(kernel_sizes = tensor<int32, [2]>([1, 1]), x = a)" N, "b", "h13", "'strides' is missing"},
    /* numbers */
    {P, R "add(x = a, y = fp16(0x3c00))" N, "b", "h13", "'0x3c00' is ambiguous"},
    {P, R "add(x = a, y = fp16(1..5))" N, "b", "h13", "'1..5' is not a number"},
    {P, R "add(x = a, y = fp16(one))" N, "b", "h13", "expected a number before 'one'"},
    {P, R "softmax(axis = int32(1.0), x = a)" N, "b", "h13", "'1.0' is not an integer"},
    {P, R "softmax(axis = int32(2147483648), x = a)" N, "b", "h13",
     "2147483648 is out of range: -2147483648 to 2147483647"},
    {P, R "softmax(axis = int32(99999999999999999999), x = a)" N, "b", "h13", "out of range"},
    {P, R "relu(x = tensor<uint8, [1]>([256]))" N, "b", "h13", "256 is out of range: 0 to 255"},
    {P, R "relu(x = tensor<int8, [1]>([-129]))" N, "b", "h13", "-129 is out of range"},
    {P, R "matmul(transpose_x = bool(1), x = a, y = a)" N, "b", "h13", "expected true or false before '1'"},
    {P, R "transpose(perm = tensor<int32, [2]>([1]), x = a)" N, "b", "h13", "the list has 1 elements, its type 2"},
    {P, R "transpose(perm = tensor<int32, [2]>([1, 0, 2]), x = a)" N, "b", "h13",
     "the list has more elements than its type, 2"},
    {P, R "transpose(perm = tensor<int32, [2]>(1), x = a)" N, "b", "h13", "expected '[' before '1'"},
    {P, R "transpose(perm = tensor<int32, [900000000]>([1]), x = a)" N, "b", "h13", "more than the text that is left"},
    {P, R "add(x = a, y = tensor<fp16, [1, 2]>([[1], [2]]))" N, "b", "h13", "the list has 1 elements, its type 2"},
    {P, R "add(x = a, y = tensor<fp16, [1, 2]>([[1, 2], [2]]))" N, "b", "h13",
     "the list has more elements than its type, 1"},
    {P, R "relu(x = tensor<uint4, [2]>([1, 2]))" N, "b", "h13", "a uint4 cannot be written inline"},
    {P, R "relu(x = \"a\")" N, "b", "h13", "expected a value before the string \"a\""},
    /* types */
    {"tensor<fp64, [2]> a", "", "a", "h13", "'fp64' is not a type this engine knows"},
    {"tensor<fp16, [?]> a", "", "a", "h13", "static shapes only"},
    {"tensor<fp16, [-1]> a", "", "a", "h13", "-1 is out of range"},
    {"tensor<fp16, [1, 2, 3, 4, 5, 6]> a", "", "a", "h13", "Rank of the shape parameter must be between 0 and 5"},
    {"tensor<fp16, [1,1,1,1,1,1,1,1,1]> a", "", "a", "h13", "Rank of the shape parameter must be between 0 and 5"},
    {"tensor<fp16, [0]> a", "", "a", "h13", "every axis has 1 to 65536 elements"},
    {"tensor<fp16, [65537]> a", "", "a", "h13", "every axis has 1 to 65536 elements"},
    {"tensor<fp16, [65536, 65536, 65536]> a", "", "a", "h13", "more than 2^40 elements"},
    {"state<tensor<fp16, [1]>> a", "", "a", "h13", "state is not supported"},
    {"fp32 a", "", "a", "h13", "input 'a' is fp32: a port is one of fp16, int8, uint8, int16, uint16"},
    {"tensor<bool, [2]> a", "", "a", "h13", "input 'a' is tensor<bool, [2]>: a port"},
    {"int32 a", "", "a", "h13", "input 'a' is int32"},
    {"string a", "", "a", "h13", "input 'a' is string"},
    {P, "tensor<bool, [2, 4]> b = less(x = a, y = a)" N, "b", "h13", "output 'b' is tensor<bool, [2, 4]>: a port"},
    {P, "tensor<string, [1]> b = const()[name = string(\"b\"), val = string(\"x\")];", "a", "h13",
     "a tensor of strings"},
    {P, "fp16 b = const()[name = string(\"b\"), val = fp32(1)];", "a", "h13",
     "'b' is declared fp16, but its value is fp32"},
    {P, "fp16 b = const()[name = string(\"b\")];", "a", "h13", "const: 'val' is missing"},
    {P, "fp16 b = const()[name = string(\"b\"), val = a];", "a", "h13", "'val' must be a typed literal"},
    {P, "fp16 b, fp16 c = const()[name = string(\"b\"), val = fp16(1)];", "a", "h13", "const has one result"},
    {P, R "cast(dtype = string(\"fp32\"), x = a)" N, "b", "h13", "but cast gives tensor<fp32, [2, 4]>"},
    {P, "tensor<int32, [2, 4]> b = cast(dtype = string(\"int32\"), x = a)" N, "b", "h13",
     "the ANE computes in fp16, int32 is for constants"},
    /* what the compiler rejects */
    {P, "", "a", "h13", "unordered_map::at: key not found: output 'a' is an input"},
    {P, "fp16 b = const()[name = string(\"b\"), val = fp16(1)];", "b", "h13",
     "unordered_map::at: key not found: output 'b' is a constant"},
    {P,
     "tensor<fp16, [2, 1]> m = reduce_sum(axes = tensor<int32, [1]>([1]), keep_dims = bool(true), x = a)[name = "
     "string(\"m\")];"
     "tensor<fp16, [2, 1]> b = mul(x = m, y = fp16(0))" N,
     "b", "h13", "ANECCompile() FAILED: 'm', the result of reduce_sum, times a factor that is zero"},
    {P,
     "fp16 m = reduce_max(x = a)[name = string(\"m\")]; fp16 z = const()[name = string(\"z\"), val = fp16(-0x1p-26)];"
     "fp16 b = mul(x = z, y = m)" N,
     "b", "h13", "ANECCompile() FAILED: 'm', the result of reduce_max"},
    {P,
     "tensor<bool, [2, 4]> c = less(x = a, y = a)[name = string(\"c\")]; tensor<bool, [4, 2]> b = "
     "transpose(perm = tensor<int32, [2]>([1, 0]), x = c)" N,
     "b", "h13", "'c' is bool: comparisons feed"},
    {P, "tensor<bool, [2, 4]> c = less(x = a, y = a)[name = string(\"c\")]; " R "add(x = c, y = c)" N, "b", "h13",
     "accepted are: fp16, fp32, int32"},
    {P, R "sin(x = a)" N, "b", "h13",
     "sin is not supported on any backend of this target (capability family 2, needs 4)"},
    {P, R "cos(x = a)" N, "b", "h14", "capability family 3, needs 4"},
    {P, R "topk(x = a)" N, "b", "h13",
     "topk is not supported on any backend of this target (capability family 2, needs 3)"},
    {P, R "topk(x = a)" N, "b", "h14", "the host engine has no kernel for topk"},
    {"tensor<fp16, [1, 1, 1, 96]> a",
     "tensor<fp16, [1, 1, 1, 96]> s = square(x = a)[name = string(\"s\")];"
     "tensor<fp16, [1, 1, 1, 96]> b = relu(x = s)" N,
     "b", "h13", "ANECCompile() FAILED: square followed by relu with a width of 96"},
    {"tensor<fp16, [1, 1, 1, 2, 3]> a",
     "tensor<fp16, [1, 1, 1, 3, 2]> s = transpose(perm = tensor<int32, [5]>([0, 1, 2, 4, 3]), x = a)"
     "[name = string(\"s\")]; tensor<fp16, [1, 1, 1, 2, 2]> b = matmul(x = a, y = s)" N,
     "b", "h13", "a transpose of rank 5, feeds matmul"},
    {"tensor<fp16, [2, 1, 4, 4]> a, tensor<fp16, [1, 1, 3, 3]> w",
     "tensor<fp16, [2, 1, 2, 2]> b = conv(weight = w, x = a)" N, "b", "h13",
     "conv with a computed weight and a batch of 2"},
    {"tensor<fp16, [1, 1, 4, 40]> a, tensor<fp16, [1, 1, 1, 14]> w",
     "tensor<fp16, [1, 1, 4, 27]> b = conv(weight = w, x = a)" N, "b", "h13",
     "ANECCompile() FAILED: conv with a kernel 14 wide; this target takes up to 13"},
    {"tensor<fp16, [1, 1, 4, 40]> a, tensor<fp16, [1, 1, 1, 16]> w",
     "tensor<fp16, [1, 1, 4, 25]> b = conv(weight = w, x = a)" N, "b", "h17",
     "kernel 16 wide; this target takes up to 15"},
    /* shape rules */
    {P, R "reshape(shape = tensor<int32, [2]>([3, 3]), x = a)" N, "b", "h13",
     "reshape: tensor<fp16, [2, 4]> does not have the elements of tensor<fp16, [3, 3]>"},
    {P, R "reshape(shape = tensor<int32, [6]>([1, 1, 1, 1, 2, 4]), x = a)" N, "b", "h13",
     "Rank of the shape parameter must be between 0 and 5"},
    {P, R "reshape(shape = tensor<int32, [2]>([-1, -1]), x = a)" N, "b", "h13", "holds -1 twice"},
    {P, R "reshape(shape = tensor<int32, [2]>([0, 4]), x = a)" N, "b", "h13", "holds 0"},
    {P, R "reshape(shape = tensor<int32, [2]>([-1, 3]), x = a)" N, "b", "h13", "does not have the elements"},
    {P, R "reshape(shape = tensor<int32, [0]>([]), x = a)" N, "b", "h13", "does not have the elements of fp16"},
    {P, R "transpose(perm = tensor<int32, [2]>([1, 1]), x = a)" N, "b", "h13", "names an axis twice"},
    {P, R "transpose(perm = tensor<int32, [3]>([1, 0, 2]), x = a)" N, "b", "h13",
     "'perm' has 3 elements, 2 are needed"},
    {P, R "squeeze(axes = tensor<int32, [1]>([0]), x = a)" N, "b", "h13", "more than one element"},
    {P, R "expand_dims(axes = tensor<int32, [4]>([0, 1, 2, 3]), x = a)" N, "b", "h13", "expand_dims gives rank 6"},
    {P, R "slice_by_size(begin = tensor<int32, [2]>([0, 3]), size = tensor<int32, [2]>([2, 2]), x = a)" N, "b", "h13",
     "stay inside x"},
    {P, R "slice_by_size(begin = tensor<int32, [2]>([0, 4]), size = tensor<int32, [2]>([2, -1]), x = a)" N, "b", "h13",
     "lies outside x"},
    {P, R "slice_by_size(begin = tensor<int32, [2]>([0, -1]), size = tensor<int32, [2]>([2, 1]), x = a)" N, "b", "h13",
     "'begin' holds -1"},
    {P, R "tile(reps = tensor<int32, [2]>([1, 0]), x = a)" N, "b", "h13", "'reps' holds 0"},
    {P, R "reduce_sum(axes = tensor<int32, [0]>([]), x = a)" N, "b", "h13", "'axes' is empty"},
    {P, R "reduce_sum(axes = tensor<int32, [2]>([1, -1]), x = a)" N, "b", "h13", "names an axis twice"},
    {P, R "add(x = a, y = tensor<fp16, [3]>([1, 2, 3]))" N, "b", "h13",
     "the shapes do not broadcast (x is tensor<fp16, [2, 4]>, y is tensor<fp16, [3]>)"},
    {P, R "matmul(x = a, y = a)" N, "b", "h13", "the inner extents differ"},
    {P, R "linear(weight = a, x = a)" N, "b", "h13", "'weight' must be a constant or a constexpr result"},
    {P, R "concat(axis = int32(0), values = (a, a), interleave = bool(true))" N, "b", "h13", "interleaved concat"},
    {P ", tensor<fp16, [2, 3]> c", R "concat(axis = int32(0), values = (a, c))" N, "b", "h13",
     "they differ outside axis 0"},
    {P ", tensor<fp16, [2]> c", R "stack(axis = int32(0), values = (a, c))" N, "b", "h13",
     "dtype and rank must be the same"},
    {P, "tensor<fp16, [2, 2]> b, tensor<fp16, [2, 2]> c = split(axis = int32(1), num_splits = int32(3), x = a)" N, "b",
     "h13", "2 results are declared for 3 parts"},
    {P,
     "tensor<fp16, [2, 1]> b, tensor<fp16, [2, 1]> c, tensor<fp16, [2, 1]> d = split(axis = int32(1), num_splits = "
     "int32(3), x = a)" N,
     "b", "h13", "must divide the axis"},
    {P,
     "tensor<fp16, [2, 1]> b, tensor<fp16, [2, 4]> c = split(axis = int32(1), split_sizes = tensor<int32, [2]>([1, "
     "4]), x = a)" N,
     "b", "h13", "must add up to the axis"},
    {P, R "split(axis = int32(1), x = a)" N, "b", "h13", "'num_splits' or 'split_sizes' is needed"},
    {P, "tensor<fp16, [2, 4]> b, tensor<fp16, [2, 4]> c = relu(x = a)" N, "b", "h13", "relu has one result, not 2"},
    {P, R "prelu(alpha = tensor<fp16, [4]>([1, 2, 3, 4]), x = a)" N, "b", "h13", "must have rank 3 or more"},
    {"tensor<fp16, [1, 1, 3, 3]> a",
     R "max_pool(ceil_mode = bool(true), kernel_sizes = tensor<int32, [2]>([2, 2]), pad = tensor<int32, "
       "[4]>([1, 0, 1, 0]), pad_type = string(\"custom\"), strides = tensor<int32, [2]>([2, 2]), x = a)" N,
     "b", "h13", "must be symmetric"},
    {"tensor<fp16, [1, 1, 3, 3]> a",
     R "max_pool(ceil_mode = bool(true), kernel_sizes = tensor<int32, [2]>([1, 1]), pad = tensor<int32, "
       "[4]>([0, 0, 0, 0]), pad_type = string(\"custom\"), strides = tensor<int32, [2]>([4, 4]), x = a)" N,
     "b", "h13", "a window that lies outside x"},
    {"tensor<fp16, [1, 1, 3, 3]> a",
     R "max_pool(ceil_mode = bool(false), kernel_sizes = tensor<int32, [2]>([4, 4]), pad = tensor<int32, "
       "[4]>([0, 0, 0, 0]), pad_type = string(\"custom\"), strides = tensor<int32, [2]>([1, 1]), x = a)" N,
     "b", "h13", "smaller than the window"},
    {"tensor<fp16, [1, 2, 4, 4]> a",
     R "conv(groups = int32(3), weight = tensor<fp16, [1, 1, 1, 1]>([[[[1]]]]), x = a)" N, "b", "h13",
     "must divide the channels"},
    {"tensor<fp16, [1, 2, 4, 4]> a", R "conv(weight = tensor<fp16, [1, 1, 1, 1]>([[[[1]]]]), x = a)" N, "b", "h13",
     "[Cout, Cin/groups, ..]"},
    {"tensor<fp16, [1, 1, 4, 4]> a",
     R "conv(pad_type = string(\"custom\"), weight = tensor<fp16, [1, 1, 1, 1]>([[[[1]]]]), x = a)" N, "b", "h13",
     "it needs 'pad'"},
    {"tensor<fp16, [1, 1, 4, 4]> a", R "upsample_nearest_neighbor(scale_factor_height = fp32(1.5), x = a)" N, "b",
     "h13", "must be a whole number"},
};

TEST(rejected_programs) {
  for (size_t i = 0; i < sizeof rejected / sizeof *rejected; i++) {
    mil_program *p = read_program(rejected[i][3], rejected[i][0], rejected[i][1], rejected[i][2]);
    CHECK(!p && has(rejected[i][4]), "\n    %s\n    %s\n    wanted: %s", rejected[i][1], error, rejected[i][4]);
    CHECK(p || (!strncmp(error, "<text>:", 7) && has("\n")), "no place in: %s", error);
    mil_free(p);
  }
}

/* Programs refused before or after the body. */
static const char *const skeletons[][2] = {
    {"", "expected 'program' before the end of the text"},
    {"program(1.4)", "program version '1.4' is not supported"},
    {"program(1.3)[a = fp16(1)] { func main<ios18>() { } -> (", "expected the name of an output before the end"},
    {"program(1.3)[a]", "expected '=' before ']'"},
    {"program(1.3)[a = string(\"x]", "the string that starts here is not closed"},
    {"program(1.3){ func other<ios18>", "the one function of a program is 'main', not 'other'"},
    {"program(1.3){ func main<ios19>", "expected an opset, ios15 to ios18, before 'ios19'"},
    {"program(1.3){ func main<ios18>(fp16 a) { fp16 b = relu(x = a)[name = string(\"b\")]; } -> (b); func",
     "one function, 'main'"},
    {"program(1.3){ func main<ios18>(fp16 a) { fp16 b = relu(x = a)[name = string(\"b\")]; } -> (b); } x",
     "the end of the text before 'x'"},
    {"program(1.3){ func main<ios18>(fp16 a) { fp16 b = relu(x = a)[name = string(\"b\")]; } -> ();",
     "name of an output before ')'"},
    {"program(1.3){ func main<ios18>(fp16 a) { fp16 b = #", "unexpected character '#'"},
    {"program(1.3){ func main<ios18>(fp16 a) { fp16 b = \x01", "unexpected byte 0x01"},
    {"program(1.3){ func main<ios18>(fp16 a) { fp16 b = \xc3\xa9", "unexpected byte 0xc3"},
    {"program(1.3){ func main<ios18>(fp16 a) { fp16 b = 5", "expected an operation before '5'"},
    {"program(1.3){ func main<ios18>(fp16 5", "expected the name of an input before '5'"},
    {"program(1.3){ func main<ios18>(fp16 a) { fp16 b = relu(x = 1-", "expected a value before '1'"},
    {"program(1.3){ func main<ios15>(fp16 a) { fp16 b = constexpr_lut_to_dense(",
     "needs opset ios16, the function has ios15"},
};

TEST(rejected_skeletons) {
  for (size_t i = 0; i < sizeof skeletons / sizeof *skeletons; i++) {
    mil_program *p = read_exact(skeletons[i][0], strlen(skeletons[i][0]), "h13");
    CHECK(!p && has(skeletons[i][1]), "\n    %s\n    wanted: %s", error, skeletons[i][1]);
    mil_free(p);
  }
}

TEST(the_message_shows_the_line_and_a_caret) {
  const char *source = "program(1.3)\n{\n  func main<ios18>(fp16 a) {\n\tfp16 b = relu(x = c)[name = string(\"b\")];\n";
  mil_program *p = read_exact(source, strlen(source), "h13");
  CHECK(!p);
  CHECK(!strcmp(error, "<text>:4:20: error: 'c' is not defined before this line\n"
                       " fp16 b = relu(x = c)[name = string(\"b\")];\n"
                       "                   ^"),
        "%s", error);
  /* a line of a megabyte is cut to a window around the column */
  text t = {0};
  text_add(&t, "program(1.3){ func main<ios18>(fp16 a) { ");
  for (int i = 0; i < 20000; i++) text_add(&t, "fp16 b%d = relu(x = a)[name = string(\"b%d\")]; ", i, i);
  text_add(&t, "fp16 c = relu(x = nowhere)");
  p = read_exact(t.data, t.length, "h13");
  CHECK(!p && has("nowhere") && strlen(error) < 500, "%s", error);
  const char *line = strchr(error, '\n') + 1, *caret = strrchr(error, '\n') + 1;
  CHECK(!strncmp(line + strlen(caret) - 1, "nowhere", 7), "%s", error);
  text_free(&t);
  /* small buffers are filled and closed, no buffer is fine */
  for (size_t size = 0; size < 80; size++) {
    char small[81];
    memset(small, '#', sizeof small);
    CHECK(!mil_read_text("program(1.3)\n{ x", 16, NULL, "h13", small, size));
    CHECK(small[size] == '#' && (!size || strlen(small) < size));
  }
  CHECK(!mil_read_text("program", 7, NULL, "h13", NULL, 0));
  CHECK(!mil_read_text(NULL, 0, NULL, "h13", error, sizeof error));
}

/* -- Size ---------------------------------------------------------------------------------------------------------- */

TEST(long_programs_and_deep_nesting) {
  text t = {0}, body = {0};
  char before[16] = "a", name[16];
  for (int i = 0; i < 100000; i++) {
    snprintf(name, sizeof name, "b%d", i);
    text_add(&body, "fp16 %s = relu(x = %s)[name = string(\"%s\")];\n", name, before, name);
    memcpy(before, name, sizeof name);
  }
  text_program(&t, "ios18", "fp16 a", body.data, "b99999");
  mil_program *p = read_exact(t.data, t.length, "h13");
  CHECK(p && p->n_ops == 100000, "%s", error);
  mil_free(p);
  text_free(&t);
  text_free(&body);
  text_add(&t, "program(1.3)[a = dict<string, string>(");
  for (int i = 0; i < 1000000; i++) text_bytes(&t, "{", 1);
  p = read_exact(t.data, t.length, "h13");
  CHECK(!p && has("nested deeper than 16"), "%s", error);
  text_free(&t);
  text_add(&t, "program(1.3)[a = ");
  for (int i = 0; i < 200000; i++) text_add(&t, "dict<");
  p = read_exact(t.data, t.length, "h13");
  CHECK(!p && has("nested deeper than 16"), "%s", error);
  text_free(&t);
  text_add(&t, "program(1.3){ func main<ios18>(fp16 ");
  for (int i = 0; i < 5000; i++) text_add(&t, "a");
  p = read_exact(t.data, t.length, "h13");
  CHECK(!p && has("a name has 5000 characters"), "%s", error);
  text_free(&t);
}

/* -- fp16 literals ------------------------------------------------------------------------------------------------- */

static double half_value(int h) {
  int e = h >> 10 & 31, m = h & 1023;
  return e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
}

/* Reads one list of fp16 literals; NULL on failure. */
static mil_program *read_halves(const text *list, int count) {
  text t = {0}, body = {0};
  text_add(&body, "tensor<fp16, [%d]> b = add(x = a, y = tensor<fp16, [%d]>([%s]))[name = string(\"b\")];", count,
           count, list->data);
  text_program(&t, "ios18", "fp16 a", body.data, "b");
  mil_program *p = read_exact(t.data, t.length, "h13");
  CHECK(p, "%s", error);
  text_free(&t);
  text_free(&body);
  return p;
}

TEST(every_half_and_every_midpoint_is_exact) {
  enum { HALVES = 0x7c00 };
  for (int pass = 0; pass < 4; pass++) {
    text list = {0};
    for (int h = 0; h < HALVES; h++) {
      double low = half_value(h), high = h + 1 < HALVES ? half_value(h + 1) : 65536, middle = (low + high) / 2;
      double v = pass == 0 ? low : pass == 1 ? middle : nextafter(middle, pass == 2 ? 0 : INFINITY);
      text_add(&list, h & 1 ? "%s%a" : "%s%.60g", h ? ", " : "", v);
    }
    mil_program *p = read_halves(&list, HALVES);
    if (p) {
      const uint16_t *got = mil_get(p->op[0], "y")->data;
      for (int h = 0; h < HALVES; h++) {
        int want = pass == 0 || pass == 2 ? h : pass == 3 ? h + 1 : h + (h & 1);
        CHECK(got[h] == want, "pass %d: %04x, got %04x", pass, want, got[h]);
      }
    }
    mil_free(p);
    text_free(&list);
  }
}

/* value in decimal, the emitter's spelling of the same half */
static const char *const spellings[][2] = {
    {"0", "0x0.0p+0"},
    {"1", "0x1.0000000000000p+0"},
    {"-1", "-0x1.0000000000000p+0"},
    {"0.1", "0x1.9980000000000p-4"},
    {"0.2", "0x1.9980000000000p-3"},
    {"0.01", "0x1.47c0000000000p-7"},
    {"6", "0x1.8000000000000p+2"},
    {"65504", "0x1.ffc0000000000p+15"},
    {"65519.99", "0x1.ffc0000000000p+15"},
    {"65520", "inf"},
    {"-65520", "-inf"},
    {"1e-3", "0x1.0640000000000p-10"},
    {"1e-4", "0x1.a380000000000p-14"},
    {"1e-5", "0x1.5000000000000p-17"},
    {"1e-12", "0x0.0p+0"},
    {"1e-6", "0x1.1000000000000p-20"},
    {"0.0039215688593685627", "0x1.0100000000000p-8"},
    {"-1e4", "-0x1.3880000000000p+13"},
    {"3.3333333333333335e-05", "0x1.1780000000000p-15"},
    {"5.96e-8", "0x1.0000000000000p-24"},
    {"2.9802322387695312e-08", "0x0.0p+0"},
    {"2.99e-8", "0x1.0000000000000p-24"},
    {"-1.206", "-0x1.34c0000000000p+0"},
    {"3.14159", "0x1.9200000000000p+1"},
    {"1e999", "inf"},
    {"1E+0", "0X1P0"},
    {".5", "5e-1"},
    {"-0", "-0x0.0p+0"},
};

TEST(spellings_of_halves) {
  int n = (int)(sizeof spellings / sizeof *spellings);
  text list = {0};
  for (int i = 0; i < n; i++) text_add(&list, "%s%s, %s", i ? ", " : "", spellings[i][0], spellings[i][1]);
  text_add(&list, ", nan, -nan");
  mil_program *p = read_halves(&list, 2 * n + 2);
  if (!p) return;
  const uint16_t *got = mil_get(p->op[0], "y")->data;
  for (int i = 0; i < n; i++)
    CHECK(got[2 * i] == got[2 * i + 1], "%s is %04x, %s is %04x", spellings[i][0], got[2 * i], spellings[i][1],
          got[2 * i + 1]);
  CHECK((got[2 * n] & 0x7fff) == 0x7e00 && (got[2 * n + 1] & 0x7fff) == 0x7e00);
  mil_free(p);
  text_free(&list);
}

/* -- Weight files -------------------------------------------------------------------------------------------------- */

/* One constant of the given type at path and offset, in a directory whose weights.bin is data. */
static mil_program *read_blob(const char *type, const char *path, const char *offset, const void *data, size_t length) {
  if (data) write_file(dir, "other.bin", data, length);
  text body = {0};
  text_add(&body,
           "%s w = const()[name = string(\"w\"), val = %s(BLOBFILE(path = string(\"%s\"), offset = uint64(%s)))];"
           "tensor<fp16, [3]> b = add(x = a, y = w)[name = string(\"b\")];",
           type, type, path, offset);
  mil_program *p = read_program("h13", "tensor<fp16, [3]> a", body.data, "b");
  text_free(&body);
  return p;
}

TEST(weight_paths) {
  static const char *const refused[] = {"weights.bin",
                                        "/etc/passwd",
                                        "@model_path",
                                        "@model_path/",
                                        "@model_path//etc/passwd",
                                        "@model_path/..",
                                        "@model_path/../weights.bin",
                                        "@model_path/a/../../b",
                                        "@model_path/a/..",
                                        ""};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    CHECK(!read_blob("tensor<fp16, [3]>", refused[i], "64", NULL, 0));
    CHECK(has("weight 'w': path") && has("is refused"), "%s: %s", refused[i], error);
  }
  CHECK(!read_blob("tensor<fp16, [3]>", "@model_path/nowhere.bin", "64", NULL, 0) && has("nowhere.bin: No such file"),
        "%s", error);
  char sub[128];
  snprintf(sub, sizeof sub, "%s/..sub", dir);
  mkdir(sub, 0700);
  CHECK(!read_blob("tensor<fp16, [3]>", "@model_path/..sub", "64", NULL, 0) && has("Is a directory"), "%s", error);
  rmdir(sub);
}

TEST(weight_files_that_are_damaged) {
  static const char *const PATH = "@model_path/other.bin";
  static const uint16_t values[3] = {0x3c00, 0x4000, 0x4200};
  text good = {0};
  blob_start(&good);
  blob_add(&good, 1, values, sizeof values);
  mil_program *p = read_blob("tensor<fp16, [3]>", PATH, "64", good.data, good.length);
  CHECK(p && !memcmp(mil_get(p->op[0], "y")->data, values, 6), "%s", error);
  mil_free(p);

  static const struct {
    const char *type, *offset, *message;
    int at;
    uint64_t value;
    int bytes;
    size_t length;
  } cases[] = {
      /* the text is wrong */
      {"tensor<fp16, [4]>", "64", "has 6 bytes, tensor<fp16, [4]> needs 8", 0, 0, 0, 0},
      {"tensor<int8, [6]>", "64", "holds dtype code 1 (Float16), the text says tensor<int8, [6]>", 0, 0, 0, 0},
      {"tensor<bool, [6]>", "64", "tensor<bool, [6]> cannot be stored in a weight file", 0, 0, 0, 0},
      {"tensor<fp16, [3]>", "65", "no descriptor at offset 65", 0, 0, 0, 0},
      {"tensor<fp16, [3]>", "0", "no descriptor fits at offset 0", 0, 0, 0, 0},
      {"tensor<fp16, [3]>", "71", "no descriptor fits at offset 71", 0, 0, 0, 0},
      {"tensor<fp16, [3]>", "1000", "no descriptor fits at offset 1000", 0, 0, 0, 0},
      {"tensor<fp16, [3]>", "18446744073709551615", "no descriptor fits at offset 18446744073709551615", 0, 0, 0, 0},
      {"tensor<fp16, [3]>", "18446744073709551616", "is out of range: 0 to 2^64-1", 0, 0, 0, 0},
      {"tensor<fp16, [3]>", "-64", "is out of range: 0 to 2^64-1", 0, 0, 0, 0},
      /* the file is wrong */
      {"tensor<fp16, [3]>", "64", "counts 0 blobs", 0, 0, 4, 0},
      {"tensor<fp16, [3]>", "64", "has container version 1, expected 2", 4, 1, 4, 0},
      {"tensor<fp16, [3]>", "64", "no descriptor at offset 64 of @model_path/other.bin: found 0xDEADBEEE", 64,
       0xDEADBEEE, 4, 0},
      {"tensor<fp16, [3]>", "64", "holds dtype code 99 (unknown)", 68, 99, 4, 0},
      {"tensor<fp16, [3]>", "64", "has 18446744073709551615 bytes", 72, UINT64_MAX, 8, 0},
      {"tensor<fp16, [3]>", "64", "is outside", 80, UINT64_MAX, 8, 0},
      {"tensor<fp16, [3]>", "64", "is outside", 80, UINT64_MAX - 5, 8, 0},
      {"tensor<fp16, [3]>", "64", "payload of 6 bytes at offset 129 is outside", 80, 129, 8, 0},
      {"tensor<fp16, [3]>", "64", "payload of 6 bytes at offset 0 is outside", 80, 0, 8, 0},
      {"tensor<fp16, [3]>", "64", "is outside", 0, 1, 4, 133},
      {"tensor<fp16, [3]>", "64", "no descriptor fits", 0, 1, 4, 127},
      {"tensor<fp16, [3]>", "64", "has 63 bytes, less than the header of 64", 0, 1, 4, 63},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char copy[256];
    memcpy(copy, good.data, good.length);
    memcpy(copy + cases[i].at, &cases[i].value, (size_t)cases[i].bytes);
    p = read_blob(cases[i].type, PATH, cases[i].offset, copy, cases[i].length ? cases[i].length : good.length);
    CHECK(!p && has(cases[i].message), "case %zu: %s, wanted %s", i, error, cases[i].message);
    if (!has("out of range")) CHECK(has("weight 'w'"), "%s", error);
    mil_free(p);
  }
  CHECK(!read_blob("tensor<fp16, [3]>", PATH, "64", "", 0) && has("has 0 bytes, less than the header"), "%s", error);
  text_free(&good);
}

TEST(payloads_are_aligned_for_their_elements) {
  uint16_t values[3] = {0x3c00, 0x4000, 0x4200};
  text t = {0};
  blob_start(&t);
  blob_add(&t, 4, "x", 1); /* one byte: everything behind it is odd */
  size_t odd = blob_add(&t, 1, values, 6);
  blob_add(&t, 4, "x", 1);
  size_t even = blob_add(&t, 1, values, 6);
  char offset[24];
  for (int i = 0; i < 2; i++) {
    snprintf(offset, sizeof offset, "%zu", i ? even : odd);
    mil_program *p = read_blob("tensor<fp16, [3]>", "@model_path/other.bin", offset, t.data, t.length);
    CHECK(p, "%s", error);
    if (!p) continue;
    const mil_value *w = mil_get(p->op[0], "y");
    CHECK(!((uintptr_t)w->data % 2) && !memcmp(w->data, values, 6) && w->bytes == 6 && p->weight_bytes == t.length);
    mil_free(p);
  }
  /* a payload that is not behind its descriptor */
  uint64_t moved = odd + 64;
  memcpy(t.data + even + 16, &moved, 8);
  mil_program *p = read_blob("tensor<fp16, [3]>", "@model_path/other.bin", offset, t.data, t.length);
  CHECK(p && !memcmp(mil_get(p->op[0], "y")->data, values, 6), "%s", error);
  mil_free(p);
  text_free(&t);
}

/* -- Files --------------------------------------------------------------------------------------------------------- */

TEST(programs_in_files) {
  char path[128];
  write_file(dir, "model.mil", example, sizeof example - 1);
  snprintf(path, sizeof path, "%s/model.mil", dir);
  mil_program *p = mil_read(path, "h13", error, sizeof error);
  CHECK(p && !strcmp(p->path, path), "%s", error);
  mil_free(p);
  /* relative to the working directory, with and without a directory part */
  char old[PATH_MAX];
  CHECK(getcwd(old, sizeof old) && !chdir(dir));
  p = mil_read("model.mil", "h13", error, sizeof error);
  CHECK(p, "%s", error);
  mil_free(p);
  p = mil_read("./model.mil", NULL, error, sizeof error);
  CHECK(p, "%s", error);
  mil_free(p);
  CHECK(!chdir(old));
  CHECK(!mil_read(dir, "h13", error, sizeof error) && has("cannot read the program: Is a directory"), "%s", error);
  snprintf(path, sizeof path, "%s/nothing.mil", dir);
  CHECK(!mil_read(path, "h13", error, sizeof error) && has("nothing.mil: error: cannot read the program: No such file"),
        "%s", error);
  write_file(dir, "empty.mil", "", 0);
  snprintf(path, sizeof path, "%s/empty.mil", dir);
  CHECK(!mil_read(path, "h13", error, sizeof error) && has("empty.mil:1:1: error: expected 'program'"), "%s", error);
  CHECK(!mil_read(path, "h13", NULL, 0));
  mil_free(NULL);
}

int main(void) {
  if (!make_fixture()) return 1;
  RUN(the_complete_example);
  RUN(every_prefix_is_refused);
  RUN(accepted_programs);
  RUN(opsets_and_targets);
  RUN(rejected_programs);
  RUN(rejected_skeletons);
  RUN(the_message_shows_the_line_and_a_caret);
  RUN(long_programs_and_deep_nesting);
  RUN(every_half_and_every_midpoint_is_exact);
  RUN(spellings_of_halves);
  RUN(weight_paths);
  RUN(weight_files_that_are_damaged);
  RUN(payloads_are_aligned_for_their_elements);
  RUN(programs_in_files);
  drop_fixture();
  return test_end();
}
