/* provider.c - opens a provider and resolves the vendor's functions in it.
 *
 * The shim links nothing but the C library. All it uses from there, in all files:
 *   dlopen dlsym dlerror dladdr, malloc calloc free, memcpy memset strlen strcmp, snprintf,
 *   pthread_once, pthread_mutex_init pthread_mutex_lock pthread_mutex_unlock,
 *   pthread_cond_init pthread_cond_wait pthread_cond_broadcast,
 *   and what the compiler adds itself: thread-local storage (_tlv_bootstrap on a Mac, __tls_get_addr elsewhere),
 *   memmove, bzero, strcpy, __stack_chk_fail, __memcpy_chk and the like when it is told to. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define ESPRESSO "/System/Library/PrivateFrameworks/Espresso.framework/Espresso"

typedef struct {
  const char *name;
  size_t offset; /* of the pointer in af_vendor */
  bool required;
} symbol;

#define ROW_REQUIRED(name) {#name, offsetof(af_vendor, name), true},
#define ROW_OPTIONAL(name) {#name, offsetof(af_vendor, name), false},
#define ROW_UNUSED(name)
#define ROW(need, result, name, parameters) ROW_##need(name)

static const symbol symbols[] = {E5RT_SYMBOLS(ROW)};
static const symbol block_symbols[] = {
    {"_Block_copy", offsetof(af_vendor, block_copy), false},
    {"_Block_release", offsetof(af_vendor, block_release), false},
    {"_NSConcreteStackBlock", offsetof(af_vendor, stack_block), false},
};

/* What only this project's implementation has. */
static const symbol own_symbols[] = {
    {E5RT_ERROR_TEXT_SYMBOL, offsetof(af_vendor, error_text), false},
    {E5RT_EXPLAIN_SYMBOL, offsetof(af_vendor, explain), false},
    {E5RT_REPORT_SYMBOL, offsetof(af_vendor, report), false},
};

enum { N_OWN_SYMBOLS = sizeof own_symbols / sizeof *own_symbols };
enum { N_SYMBOLS = sizeof symbols / sizeof *symbols, N_BLOCK_SYMBOLS = sizeof block_symbols / sizeof *block_symbols };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static af_device *devices;

uint32_t af_abi_version(void) { return AF_ABI_VERSION; }

/* A C name is found as it is, or with a leading underscore on older systems. */
static void *find(void *image, const char *name) {
  char underscored[128];
  void *address = dlsym(image, name);
  if (address) return address;
  snprintf(underscored, sizeof underscored, "_%s", name);
  return dlsym(image, underscored);
}

static void *resolve(af_vendor *vendor, void *image, const symbol *s) {
  void *address = find(image, s->name);
  memcpy((char *)vendor + s->offset, &address, sizeof address);
  return address;
}

/* Room for text: where the next byte goes and how many fit. */
typedef struct {
  char *at;
  size_t room;
} text;

static void append(text *to, const char *a, const char *b, const char *c) {
  size_t length = strlen(a) + strlen(b) + strlen(c);
  if (length >= to->room) return;
  snprintf(to->at, to->room, "%s%s%s", a, b, c);
  to->at += length;
  to->room -= length;
}

/* Resolves the table. Writes "symbol.<name>=<state>" lines to info; false when a required symbol is missing, with the names
 * in the failure text. */
static bool resolve_all(af_vendor *vendor, void *image, void *block_image, const char *where, text *info) {
  text error = {af_error_buffer(), AF_ERROR_SIZE};
  bool complete = true;
  for (int i = 0; i < N_SYMBOLS + N_BLOCK_SYMBOLS; i++) {
    const symbol *s = i < N_SYMBOLS ? &symbols[i] : &block_symbols[i - N_SYMBOLS];
    void *address = resolve(vendor, i < N_SYMBOLS ? image : block_image, s);
    const char *state = address ? "=found\n" : s->required ? "=missing-required\n" : "=missing-optional\n";
    append(info, "symbol.", s->name, state);
    if (address || !s->required) continue;
    if (complete) append(&error, where, " lacks required symbols:", "");
    complete = false;
    append(&error, " ", s->name, "");
  }
  for (int i = 0; i < N_OWN_SYMBOLS; i++) {
    void *address = dlsym(image, own_symbols[i].name);
    memcpy((char *)vendor + own_symbols[i].offset, &address, sizeof address);
  }
  return complete;
}

static char *copy_text(const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = malloc(size);
  return copy ? memcpy(copy, text, size) : NULL;
}

static void device_free(af_device *device) {
  free(device->provider);
  free(device->library);
  free(device->info);
  free(device);
}

static size_t info_size(const char *library) {
  size_t size = strlen(library) + 128;
  for (int i = 0; i < N_SYMBOLS; i++) size += strlen(symbols[i].name) + 32;
  for (int i = 0; i < N_BLOCK_SYMBOLS; i++) size += strlen(block_symbols[i].name) + 32;
  return size;
}

/* Images are never closed: Objective-C images cannot be, and threads of the host library may still be in its code. */
static af_device *device_load(const char *provider, const char *library) {
  bool ane = strcmp(provider, "ane") == 0;
  void *image = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!image) {
    const char *reason = dlerror();
    AF_FAIL(AF_E_PROVIDER, "provider %s: cannot open %s: %s", provider, library, reason ? reason : "no reason given");
    return NULL;
  }
  af_device *device = calloc(1, sizeof *device);
  text info = {NULL, info_size(library)};
  if (!device || !(device->provider = copy_text(provider)) || !(device->library = copy_text(library)) ||
      !(device->info = info.at = malloc(info.room))) {
    if (device) device_free(device);
    AF_FAIL(AF_E_MEMORY, "provider %s: out of memory", provider);
    return NULL;
  }
  char abi[16];
  snprintf(abi, sizeof abi, "abi=%u\n", AF_ABI_VERSION);
  append(&info, "provider=", provider, "\n");
  append(&info, "library=", library, "\n");
  append(&info, abi, "", "");
  /* On a Mac the blocks runtime is part of the process. */
  if (!resolve_all(&device->vendor, image, ane ? RTLD_DEFAULT : image, library, &info)) {
    af_error_set(AF_E_PROVIDER);
    device_free(device);
    return NULL;
  }
  return device;
}

/* A Worker that is terminated closes this library while af_wait() may still be inside it, so it is never unloaded. */
static void stay_loaded(void) {
  Dl_info self;
  if (dladdr((void *)symbols, &self) && self.dli_fname) dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

af_device *af_device_open(const char *provider, const char *library) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, stay_loaded);
  bool ane = provider && strcmp(provider, "ane") == 0;
  if (!ane && (!provider || strcmp(provider, "host") != 0)) {
    AF_FAIL(AF_E_ARGUMENT, "af_device_open: provider is \"%.32s\", known are \"ane\" and \"host\"",
            provider ? provider : "(null)");
    return NULL;
  }
  if (ane && library && *library) {
    AF_FAIL(AF_E_ARGUMENT, "af_device_open: provider \"ane\" takes no library, got %s", library);
    return NULL;
  }
  if (!ane && (!library || !*library)) {
    AF_FAIL(AF_E_ARGUMENT, "af_device_open: provider \"host\" needs the path of libaneforge_host");
    return NULL;
  }
  if (ane) library = ESPRESSO;
  pthread_mutex_lock(&mutex);
  af_device *device = devices;
  while (device && (strcmp(device->provider, provider) != 0 || strcmp(device->library, library) != 0))
    device = device->next;
  if (!device && (device = device_load(provider, library))) {
    device->next = devices;
    devices = device;
  }
  if (device) device->opens++;
  pthread_mutex_unlock(&mutex);
  return device;
}

/* The link that points to an open device, or NULL. */
static af_device **find_link(const af_device *device) {
  for (af_device **link = &devices; *link; link = &(*link)->next)
    if (*link == device) return link;
  return NULL;
}

static void drop_unused(af_device **link) {
  af_device *device = *link;
  if (device->opens || device->programs) return;
  *link = device->next;
  device_free(device);
}

void af_device_close(af_device *device) {
  pthread_mutex_lock(&mutex);
  af_device **link = device ? find_link(device) : NULL;
  if (link && device->opens) {
    device->opens--;
    drop_unused(link);
  }
  pthread_mutex_unlock(&mutex);
}

const char *af_device_info(af_device *device) {
  const char *info = NULL;
  pthread_mutex_lock(&mutex);
  if (device && find_link(device) && device->opens) info = device->info;
  pthread_mutex_unlock(&mutex);
  if (!info) AF_FAIL(AF_E_ARGUMENT, "af_device_info: not an open device");
  return info;
}

af_device *af_device_enter(af_device *device) {
  pthread_mutex_lock(&mutex);
  bool open = device && find_link(device) && device->opens;
  if (open) device->programs++;
  pthread_mutex_unlock(&mutex);
  if (!open) AF_FAIL(AF_E_ARGUMENT, "%s", device ? "the device was closed" : "the device is NULL");
  return open ? device : NULL;
}

void af_device_leave(af_device *device) {
  pthread_mutex_lock(&mutex);
  device->programs--;
  drop_unused(find_link(device));
  pthread_mutex_unlock(&mutex);
}
