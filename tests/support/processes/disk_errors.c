// A disk that fails: calls of libc on files below a folder, from the n-th of a
// kind on, end with an error. For LD_PRELOAD; armed through ctypes.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { WRITE, SYNC, RENAME, UNLINK, TRUNCATE, MKDIR, CREATE, CLOSE, STAT, KINDS };

static char folder[PATH_MAX];
static int kind = -1, first, last, code;
static int counts[KINDS];

void disk_arm(const char *where, int which, int from, int to, int error) {
  memset(counts, 0, sizeof counts);
  strncpy(folder, where, sizeof folder - 1);
  kind = which, first = from, last = to, code = error;
}

int disk_count(int which) { return counts[which]; }

static int below(const char *path) {
  size_t size = strlen(folder);
  return size && path && !strncmp(path, folder, size);
}

static int fails(int which) {
  int count = __atomic_add_fetch(&counts[which], 1, __ATOMIC_SEQ_CST);
  if (which != kind || count < first || count > last) return 0;
  errno = code;
  return 1;
}

static int fails_at(int which, const char *path) {
  return below(path) && fails(which);
}

static int fails_in(int which, int file) {
  char link[64], path[PATH_MAX];
  if (!folder[0]) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return 0;
  path[size] = 0;
  return fails_at(which, path);
}

#define REAL(name) \
  static __typeof__(&name) real; \
  if (!real) real = dlsym(RTLD_NEXT, #name)

// Half of what is to be written is, as on a disk that fills up.
#define HALF(size) ((size) / 2)

ssize_t write(int file, const void *data, size_t size) {
  REAL(write);
  if (!fails_in(WRITE, file)) return real(file, data, size);
  real(file, data, HALF(size));
  errno = code;
  return -1;
}

#define FAILING_PWRITE(name, offset) \
  ssize_t name(int file, const void *data, size_t size, offset at) { \
    REAL(name); \
    if (!fails_in(WRITE, file)) return real(file, data, size, at); \
    real(file, data, HALF(size), at); \
    errno = code; \
    return -1; \
  }

FAILING_PWRITE(pwrite, off_t)
FAILING_PWRITE(pwrite64, off64_t)

size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
  REAL(fwrite);
  if (!fails_in(WRITE, fileno(file))) return real(data, size, count, file);
  size_t done = real(data, 1, HALF(size * count), file);
  errno = code;
  return done / size;
}

int fflush(FILE *file) {
  REAL(fflush);
  if (!file || !fails_in(WRITE, fileno(file))) return real(file);
  errno = code;
  return EOF;
}

int fclose(FILE *file) {
  REAL(fclose);
  int failed = fails_in(CLOSE, fileno(file)), result = real(file);
  if (!failed) return result;
  errno = code;
  return EOF;
}

int fsync(int file) {
  REAL(fsync);
  return fails_in(SYNC, file) ? -1 : real(file);
}

int rename(const char *from, const char *to) {
  REAL(rename);
  return fails_at(RENAME, from) ? -1 : real(from, to);
}

int unlink(const char *path) {
  REAL(unlink);
  return fails_at(UNLINK, path) ? -1 : real(path);
}

int ftruncate(int file, off_t size) {
  REAL(ftruncate);
  return fails_in(TRUNCATE, file) ? -1 : real(file, size);
}

int ftruncate64(int file, off64_t size) {
  REAL(ftruncate64);
  return fails_in(TRUNCATE, file) ? -1 : real(file, size);
}

int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  return fails_at(MKDIR, path) ? -1 : real(path, mode);
}

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    REAL(name); \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0; \
    va_end(more); \
    if (flags & O_CREAT && fails_at(CREATE, path)) return -1; \
    return real(path, flags, mode); \
  }

OPEN(open)
OPEN(open64)

FILE *fopen(const char *path, const char *mode) {
  REAL(fopen);
  if (mode[0] != 'r' && fails_at(CREATE, path)) return NULL;
  return real(path, mode);
}

FILE *fopen64(const char *path, const char *mode) {
  REAL(fopen64);
  if (mode[0] != 'r' && fails_at(CREATE, path)) return NULL;
  return real(path, mode);
}

#undef stat
int stat(const char *path, struct stat *result) {
  REAL(stat);
  return fails_at(STAT, path) ? -1 : real(path, result);
}

int stat64(const char *path, struct stat64 *result) {
  REAL(stat64);
  return fails_at(STAT, path) ? -1 : real(path, result);
}
