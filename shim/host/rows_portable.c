#define ROWS_NAME rows_portable
#include "rows_impl.h"
