/* block.c - the completion block: an Objective-C block of type e5rt_error_code_t (^)(void), built by hand.
 *
 * Layout (64-bit): isa, flags, reserved, invoke, descriptor, then what is captured. Flag 1 << 30: the descriptor carries a
 * signature. "q8@?0" is a 64-bit integer result and no argument but the block itself. */
#include "internal.h"

struct descriptor {
  unsigned long reserved, size;
  const char *signature;
};

struct completion_block {
  void *isa;
  int32_t flags, reserved;
  e5rt_error_code_t (*invoke)(struct completion_block *block);
  const struct descriptor *descriptor;
  af_slot *slot; /* slots live for ever, so a late call does no harm */
  uint64_t serial;
};

_Static_assert(offsetof(struct completion_block, invoke) == 16 && offsetof(struct completion_block, slot) == 32,
               "the block ABI fixes these offsets");

enum { HAS_SIGNATURE = 1 << 30 };

static e5rt_error_code_t invoke(struct completion_block *block) {
  af_block_signal(block->slot, block->serial);
  return 0;
}

void *af_block_make(const af_vendor *vendor, af_slot *slot, uint64_t serial) {
  static const struct descriptor descriptor = {0, sizeof(struct completion_block), "q8@?0"};
  struct completion_block block = {vendor->stack_block, HAS_SIGNATURE, 0, invoke, &descriptor, slot, serial};
  return vendor->block_copy(&block);
}
