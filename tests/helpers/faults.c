/* An operating system that fails on demand: preloaded, the n-th operation that writes below a folder
   ends with a chosen error, or the process does. Reading never fails, nor does what lies elsewhere. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[PATH_MAX];
static atomic_long count;
static long at;
static int error;
static char failed[64];

/* Fail the n-th operation below `folder` with `number`; n = 0 counts and fails none. */
void faults_arm(const char *folder, long n, int number) {
    strncpy(root, folder, sizeof root - 1);
    at = n;
    error = number;
    failed[0] = 0;
    count = 0;
}

long faults_count(void) { return count; }
const char *faults_failed(void) { return failed; }

static int below(const char *path) {
    return root[0] && path && strncmp(path, root, strlen(root)) == 0;
}

static int fails(const char *name, const char *path) {
    char whole[PATH_MAX];
    if (!root[0] || !path) return 0;
    if (path[0] != '/') {
        if (!getcwd(whole, sizeof whole)) return 0;
        strncat(whole, "/", sizeof whole - strlen(whole) - 1);
        strncat(whole, path, sizeof whole - strlen(whole) - 1);
        path = whole;
    }
    if (!below(path) || atomic_fetch_add(&count, 1) + 1 != at) return 0;
    if (error < 0) kill(getpid(), SIGKILL);
    snprintf(failed, sizeof failed, "%s", name);
    errno = error;
    return 1;
}

static int fails_at(const char *name, int descriptor) {
    char link[64], path[PATH_MAX];
    if (!root[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(name, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                                          \
    int name(const char *path, int flags, ...) {                            \
        va_list rest;                                                       \
        va_start(rest, flags);                                              \
        mode_t mode = va_arg(rest, mode_t);                                 \
        va_end(rest);                                                       \
        if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && fails("open", path)) \
            return -1;                                                      \
        return REAL(name)(path, flags, mode);                               \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                        \
    int name(int folder, const char *path, int flags, ...) {                \
        va_list rest;                                                       \
        va_start(rest, flags);                                              \
        mode_t mode = va_arg(rest, mode_t);                                 \
        va_end(rest);                                                       \
        if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && fails("open", path)) \
            return -1;                                                      \
        return REAL(name)(folder, path, flags, mode);                       \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                               \
    FILE *name(const char *path, const char *mode) {                              \
        if (strpbrk(mode, "wa+") && fails("open", path)) return NULL;             \
        return REAL(name)(path, mode);                                            \
    }
FOPEN(fopen)
FOPEN(fopen64)

#define OPERATION(type, name, parameters, arguments, test) \
    type name parameters {                                 \
        if (test) return -1;                               \
        return REAL(name) arguments;                       \
    }

OPERATION(ssize_t, write, (int d, const void *b, size_t n), (d, b, n), fails_at("write", d))
OPERATION(ssize_t, writev, (int d, const struct iovec *b, int n), (d, b, n), fails_at("write", d))
OPERATION(ssize_t, pwrite, (int d, const void *b, size_t n, off_t o), (d, b, n, o),
          fails_at("write", d))
OPERATION(ssize_t, pwrite64, (int d, const void *b, size_t n, off64_t o), (d, b, n, o),
          fails_at("write", d))
OPERATION(int, fsync, (int d), (d), fails_at("fsync", d))
OPERATION(int, fdatasync, (int d), (d), fails_at("fsync", d))
OPERATION(int, ftruncate, (int d, off_t n), (d, n), fails_at("truncate", d))
OPERATION(int, ftruncate64, (int d, off64_t n), (d, n), fails_at("truncate", d))
OPERATION(int, truncate, (const char *p, off_t n), (p, n), fails("truncate", p))
OPERATION(int, truncate64, (const char *p, off64_t n), (p, n), fails("truncate", p))
OPERATION(int, rename, (const char *a, const char *b), (a, b), fails("rename", b))
OPERATION(int, renameat, (int x, const char *a, int y, const char *b), (x, a, y, b),
          fails("rename", b))
OPERATION(int, renameat2, (int x, const char *a, int y, const char *b, unsigned f), (x, a, y, b, f),
          fails("rename", b))
OPERATION(int, mkdir, (const char *p, mode_t m), (p, m), fails("mkdir", p))
OPERATION(int, link, (const char *a, const char *b), (a, b), fails("link", b))
OPERATION(int, linkat, (int x, const char *a, int y, const char *b, int f), (x, a, y, b, f),
          fails("link", b))
OPERATION(int, chmod, (const char *p, mode_t m), (p, m), fails("chmod", p))
