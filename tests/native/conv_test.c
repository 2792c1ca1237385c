/* Convolutions: published vectors, and the vector kernels against their scalar twins. */
#include "matrix_data.h"

static void run_conv(const void *args, int64_t first, int64_t last, void *scratch) { conv_run(args, first, last, scratch); }

static void run_all(run_fn *run, const conv_args *c) { run_split(run, c, conv_units(c), conv_scratch(c)); }

static conv_args square3(int64_t n, int64_t cin, int64_t h, int64_t w, int64_t cout, bool winograd) {
  return (conv_args){.profile = {.mode = NUM_ANE, .family = winograd ? 5 : 2, .winograd = winograd}, .n = n, .cin = cin,
                     .h = h, .w = w, .cout = cout, .kh = 3, .kw = 3, .oh = h, .ow = w, .groups = 1, .stride_h = 1,
                     .stride_w = 1, .dilation_h = 1, .dilation_w = 1, .pad_top = 1, .pad_bottom = 1, .pad_left = 1,
                     .pad_right = 1};
}

TEST(published_vectors) {
  static const f16 expected[2][24] = {
      {0xb77d, 0xb431, 0x31e8, 0xb7ce, 0x2c51, 0x3844, 0xbbf6, 0x32c1, 0xb633, 0xb979, 0x3cfe, 0xb978,
       0xba55, 0xa876, 0xbcc3, 0xa9c3, 0x3bba, 0xa8ca, 0x3bdd, 0xb10b, 0x35ad, 0x359d, 0x36bb, 0x37a0},
      {0xb77d, 0xb432, 0x31ea, 0xb7cf, 0x2c4c, 0x3845, 0xbbf7, 0x32c2, 0xb633, 0xb979, 0x3cfe, 0xb978,
       0xba56, 0xa87e, 0xbcc4, 0xa9d2, 0x3bbb, 0xa8c4, 0x3bdd, 0xb10a, 0x35ac, 0x359d, 0x36bd, 0x37a0},
  };
  for (int winograd = 0; winograd < 2; winograd++) {
    f16 x[48], w[54], y[72];
    uint32_t s = 12345;
    for (int i = 0; i < 48; i++) x[i] = lcg_value(&s, 1);
    for (int i = 0; i < 54; i++) w[i] = lcg_value(&s, 0.5);
    conv_args c = square3(1, 2, 4, 6, 3, winograd);
    c.x = x;
    c.weight = w;
    c.y = y;
    run_all(run_conv, &c);
    int64_t at = first_difference(y, expected[winograd], 24);
    CHECK(at < 0, "winograd %d [%d]: %04x", winograd, (int)at, y[at]);
    void *scratch = dirty_scratch(conv_scratch(&c));
    conv_run_ref(&c, 0, conv_units(&c), scratch);
    free(scratch);
    at = first_difference(y, expected[winograd], 24);
    CHECK(at < 0, "twin, winograd %d [%d]: %04x", winograd, (int)at, y[at]);
  }
}

/* One input channel under a 1x1 kernel is scaled: 60000 passes. With two channels it is a sum: 2^15 is the end. */
TEST(one_by_one_scales) {
  f16 x[2] = {0x7b53, 0}, w[2] = {0x3c00, 0x3c00}, y = 0;
  conv_args c = square3(1, 1, 1, 1, 1, false);
  c.kh = c.kw = 1;
  c.pad_top = c.pad_bottom = c.pad_left = c.pad_right = 0;
  c.x = x;
  c.weight = w;
  c.y = &y;
  run_all(run_conv, &c);
  CHECK(y == 0x7b53, "%04x", y);
  c.cin = 2;
  run_all(run_conv, &c);
  CHECK(y == 0x7c00, "%04x", y);
}

/* Input transforms with operands of all exponents, in one channel so that little hides in the sums. */
TEST(winograd_input_sums) {
  enum { W = 512 };
  for (int round = 0; round < 20 && !test_current_failed; round++) {
    f16 x[W], y[W], expected[W], w[3] = {0x3c00, (f16)(round & 1 ? 0x3c00 : 0xbc00), 0x3c00};
    for (int i = 0; i < W; i++) {
      x[i] = (f16)(random_bits() & 0xffff);
      if ((x[i] & 0x7c00) >= 0x6c00) x[i] ^= 0x4000; /* no sum of products may saturate */
    }
    conv_args c = square3(1, 1, 1, W, 1, true);
    c.kh = 1;
    c.pad_top = c.pad_bottom = 0;
    c.x = x;
    c.weight = w;
    c.y = expected;
    void *scratch = dirty_scratch(conv_scratch(&c));
    conv_run_ref(&c, 0, conv_units(&c), scratch);
    free(scratch);
    c.y = y;
    run_all(run_conv, &c);
    int64_t at = first_difference(y, expected, W);
    CHECK(at < 0, "[%d] %04x, expected %04x", (int)at, y[at], expected[at]);
  }
}

/* -- Random convolutions against the twin -------------------------------------------------------------------------------- */

static int64_t out_extent(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, int64_t pads, bool transpose) {
  int64_t reach = (kernel - 1) * dilation + 1;
  return transpose ? (in - 1) * stride + reach - pads : (in + pads - reach) / stride + (in + pads >= reach);
}

static conv_args random_conv(int64_t largest, bool transpose, bool winograd) {
  for (;;) {
    int64_t groups = random_in(0, 2) ? 1 : random_in(2, 4);
    conv_args c = {.profile = random_profile(random_bits() & 1), .transpose = transpose, .n = random_in(1, 3),
                   .cin = groups * random_in(1, 5), .cout = groups * random_in(1, random_in(0, 3) ? 5 : 20),
                   .h = random_in(1, largest), .w = random_in(1, largest), .kh = random_in(1, 4), .kw = random_in(1, 4),
                   .groups = groups, .stride_h = random_in(1, 3), .stride_w = random_in(1, 3),
                   .dilation_h = random_in(1, 2), .dilation_w = random_in(1, 2), .pad_top = random_in(0, 2),
                   .pad_bottom = random_in(0, 2), .pad_left = random_in(0, 2), .pad_right = random_in(0, 2),
                   .has_bias = random_bits() & 1};
    if (random_in(0, 3) == 0) c.cin = c.cout = groups; /* depthwise */
    if (random_in(0, 3) == 0) c.kh = c.kw = 1;
    if (random_in(0, 3) == 0) c.pad_top = c.pad_bottom = c.pad_left = c.pad_right = 0;
    if (random_in(0, 2) == 0) c.stride_h = c.stride_w = c.dilation_h = c.dilation_w = 1;
    if (random_in(0, 9) == 0) { /* one output pixel */
      c.h = c.kh;
      c.w = c.kw;
      c.pad_top = c.pad_bottom = c.pad_left = c.pad_right = 0;
    }
    if (winograd) {
      c.kh = random_in(0, 2) ? 3 : 1;
      c.kw = 3;
      c.stride_h = c.stride_w = c.dilation_h = c.dilation_w = 1;
      c.profile = (num_profile){.mode = NUM_ANE, .family = 5, .winograd = true};
    }
    c.oh = out_extent(c.h, c.kh, c.stride_h, c.dilation_h, c.pad_top + c.pad_bottom, transpose);
    c.ow = out_extent(c.w, c.kw, c.stride_w, c.dilation_w, c.pad_left + c.pad_right, transpose);
    if (transpose && c.oh > 0) c.oh += random_in(0, c.stride_h - 1); /* output padding */
    if (c.oh > 0 && c.ow > 0) return c;
  }
}

static void check_conv(conv_args c, enum data_kind kind, bool packed, bool epilogue) {
  int64_t total = c.n * c.cout * c.oh * c.ow;
  enum data_kind w_kind = kind == LARGE || kind == CANCELLING ? ORDINARY : kind;
  f16 *x = random_values(kind, c.n * c.cin * c.h * c.w);
  f16 *w = random_values(w_kind, c.cin / c.groups * c.cout * c.kh * c.kw);
  f16 *bias = random_values(random_in(0, 4) ? ORDINARY : random_in(0, 1) ? LARGE : ANY_BITS, c.cout);
  f16 *side = random_values(ORDINARY, total);
  f16 *y = malloc((size_t)total * sizeof(f16)), *expected = malloc((size_t)total * sizeof(f16));
  memset(y, 0x55, (size_t)total * sizeof(f16));
  memset(expected, 0xAA, (size_t)total * sizeof(f16));
  c.x = x;
  c.weight = w;
  c.bias = c.has_bias ? bias : NULL;
  test_epilogue e;
  int64_t dim[4] = {c.n, c.cout, c.oh, c.ow};
  make_epilogue(&e, c.profile, 4, dim);
  if (epilogue) {
    c.epilogue = c.epilogue_args.program = &e.program;
    c.epilogue_args.in[0] = side;
  }
  c.y = expected;
  c.epilogue_args.out[0] = expected;
  void *scratch = dirty_scratch(conv_scratch(&c));
  conv_run_ref(&c, 0, conv_units(&c), scratch);
  free(scratch);
  c.y = epilogue ? NULL : y;
  c.epilogue_args.out[0] = y;
  void *form = NULL;
  if (packed) {
    form = dirty_scratch(conv_packed_w_size(&c));
    conv_pack_w(&c, form);
    c.packed_w = form;
    c.weight = NULL;
  }
  run_all(run_conv, &c);
  int64_t at = first_difference(y, expected, total);
  CHECK(at < 0,
        "n%d cin%d %dx%d cout%d k%dx%d s%dx%d d%dx%d pad %d %d %d %d groups%d out %dx%d transpose%d mode%d winograd%d "
        "kind%d packed%d ep%d bias%d: [%d] %04x, expected %04x",
        (int)c.n, (int)c.cin, (int)c.h, (int)c.w, (int)c.cout, (int)c.kh, (int)c.kw, (int)c.stride_h, (int)c.stride_w,
        (int)c.dilation_h, (int)c.dilation_w, (int)c.pad_top, (int)c.pad_bottom, (int)c.pad_left, (int)c.pad_right,
        (int)c.groups, (int)c.oh, (int)c.ow, c.transpose, c.profile.mode, c.profile.winograd, kind, packed, epilogue,
        c.has_bias, (int)at, y[at], expected[at]);
  free(form);
  free(expected);
  free(y);
  free(side);
  free(bias);
  free(w);
  free(x);
}

static void check_random(int count, int64_t largest, bool transpose, bool winograd) {
  for (int i = 0; i < count && !test_current_failed; i++)
    check_conv(random_conv(largest, transpose, winograd), (enum data_kind)random_in(0, DATA_KINDS - 1), random_bits() & 1,
               random_in(0, 3) == 0);
}

TEST(random_direct) { check_random(500, 14, false, false); }
TEST(random_transposed) { check_random(200, 9, true, false); }
TEST(random_winograd) { check_random(200, 15, false, true); }

TEST(random_large) { /* several chunks along k, several blocks */
  for (int i = 0; i < 6 && !test_current_failed; i++) {
    conv_args c = square3(1, random_in(30, 100), random_in(9, 20), random_in(9, 40), random_in(20, 150), i & 1);
    check_conv(c, i < 3 ? ORDINARY : SMALL, i & 2, false);
  }
}

TEST(saturation) {
  for (int i = 0; i < 20 && !test_current_failed; i++) {
    conv_args c = square3(1, random_in(20, 60), random_in(3, 6), random_in(3, 9), random_in(1, 9), i & 1);
    check_conv(c, i & 2 ? CANCELLING : ONE_HUGE, i & 4, false);
  }
}

static int tests(void) {
  RUN(published_vectors);
  RUN(one_by_one_scales);
  RUN(winograd_input_sums);
  RUN(random_direct);
  RUN(random_transposed);
  RUN(random_winograd);
  RUN(random_large);
  RUN(saturation);
  return test_end();
}

int main(int argc, char **argv) { return for_each_isa(argc, argv, tests); }
