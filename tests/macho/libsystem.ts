/**
 * What a Mac's libSystem offers to the shim: every symbol it may use, with the library inside libSystem that defines it
 * (apple-oss-distributions: dyld, libmalloc, libplatform, Libc, libpthread). A symbol that is not here must not appear
 * in the shim without a look at the SDK.
 *
 * @module
 */

/** Symbol name in the object file (with its leading underscore) and where it is defined. */
export const LIBSYSTEM: Readonly<Record<string, string>> = {
  ___stack_chk_fail: "libsystem_c",
  ___stack_chk_guard: "libsystem_c",
  __tlv_bootstrap: "libdyld",
  _bzero: "libsystem_platform",
  _calloc: "libsystem_malloc",
  _dladdr: "libdyld",
  _dlerror: "libdyld",
  _dlopen: "libdyld",
  _dlsym: "libdyld",
  _free: "libsystem_malloc",
  _malloc: "libsystem_malloc",
  _memcmp: "libsystem_platform",
  _memcpy: "libsystem_platform",
  _memmove: "libsystem_platform",
  _memset: "libsystem_platform",
  _pthread_cond_broadcast: "libsystem_pthread",
  _pthread_cond_init: "libsystem_pthread",
  _pthread_cond_wait: "libsystem_pthread",
  _pthread_mutex_init: "libsystem_pthread",
  _pthread_mutex_lock: "libsystem_pthread",
  _pthread_mutex_unlock: "libsystem_pthread",
  _pthread_once: "libsystem_pthread",
  _snprintf: "libsystem_c",
  _strcmp: "libsystem_platform",
  _strlen: "libsystem_platform",
  _strncmp: "libsystem_platform",
  dyld_stub_binder: "libdyld",
};

/** Install name of libSystem. */
export const LIBSYSTEM_PATH = "/usr/lib/libSystem.B.dylib";

/**
 * The text stub a linker needs in place of libSystem.
 *
 * @returns A tapi-tbd version 4 file.
 */
export function libSystemStub(): string {
  return `--- !tapi-tbd
tbd-version: 4
targets: [ arm64-macos ]
install-name: '${LIBSYSTEM_PATH}'
exports:
  - targets: [ arm64-macos ]
    symbols: [ ${Object.keys(LIBSYSTEM).join(", ")} ]
...
`;
}
