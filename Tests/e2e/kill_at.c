// Preloaded into a program: kills it (SIGKILL) before its n-th system call that changes something below a folder.
//
//   KILL_UNDER   the folder, absolute, without links
//   KILL_AT      n, from 1; 0 = never
//   KILL_COUNT   file that gets the number of such calls when the program ends by itself
//
//   cc -shared -fPIC -O1 -o kill_at.so kill_at.c -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long calls;
static atomic_char ours[65536];  // descriptors of files below the folder

static int below(const char *path) {
  const char *folder = getenv("KILL_UNDER");
  return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static void count(void) {
  const char *at = getenv("KILL_AT");
  long n = atomic_fetch_add(&calls, 1) + 1;
  if (at && n == atol(at)) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
  }
}

static void count_descriptor(int fd) {
  if (fd >= 0 && fd < 65536 && ours[fd]) count();
}

__attribute__((destructor)) static void report(void) {
  const char *path = getenv("KILL_COUNT");
  if (!path || !calls) return;
  FILE *file = fopen(path, "w");
  if (!file) return;
  fprintf(file, "%ld\n", (long)calls);
  fclose(file);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int opened(int fd, const char *path, int flags) {
  if (fd >= 0 && fd < 65536) ours[fd] = below(path) && ((flags & O_CREAT) || (flags & O_DIRECTORY));
  return fd;
}
int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if ((flags & O_CREAT) && below(path)) count();
  return opened(REAL(open)(path, flags, mode), path, flags);
}
int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  if ((flags & O_CREAT) && below(path)) count();
  return opened(REAL(open64)(path, flags, mode), path, flags);
}
int close(int fd) {
  if (fd >= 0 && fd < 65536) ours[fd] = 0;
  return REAL(close)(fd);
}
ssize_t write(int fd, const void *bytes, size_t size) {
  count_descriptor(fd);
  return REAL(write)(fd, bytes, size);
}
int fsync(int fd) {
  count_descriptor(fd);
  return REAL(fsync)(fd);
}
int rename(const char *from, const char *to) {
  if (below(from)) count();
  return REAL(rename)(from, to);
}
int link(const char *from, const char *to) {
  if (below(from)) count();
  return REAL(link)(from, to);
}
int unlink(const char *path) {
  if (below(path)) count();
  return REAL(unlink)(path);
}
int mkdir(const char *path, mode_t mode) {
  if (below(path)) count();
  return REAL(mkdir)(path, mode);
}
int rmdir(const char *path) {
  if (below(path)) count();
  return REAL(rmdir)(path);
}
