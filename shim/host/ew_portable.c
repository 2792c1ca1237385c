#define EW_TILE_FN ew_tile_portable
#include "ew_impl.h"
