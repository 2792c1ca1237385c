/* What the shim needs of Apple's <dlfcn.h>, with its values (apple-oss-distributions/dyld, include/dlfcn.h). */
#ifndef MACHO_DLFCN_H
#define MACHO_DLFCN_H
#define RTLD_LAZY 0x1
#define RTLD_NOW 0x2
#define RTLD_LOCAL 0x4
#define RTLD_GLOBAL 0x8
#define RTLD_DEFAULT ((void *)-2)
void *dlopen(const char *path, int mode);
void *dlsym(void *handle, const char *symbol);
char *dlerror(void);
int dlclose(void *handle);
#endif
