/* Preloaded into a program, writes down what the program does to the files below $TRACE_DIR, in order, into $TRACE:
 * what a disk could be told to have forgotten after a power cut follows from it. What the program writes to its standard
 * output goes into the trace too, and so has a place in that order.
 *
 * A record: kind u8, object u64 (inode), offset u64, length u32 (all little-endian), then so many bytes.
 *   C created (path)         W written (bytes at offset)     T cut or grown to offset
 *   M folder made (path)     R renamed (old NUL new)         U removed (path)
 *   s sync begins            S sync done                     F sync failed        (of a file or a folder)
 *   A said on standard output (bytes)
 * A record follows its call, but `s` precedes it: a write that the program knew to be done before it began to sync
 * stands before the `s`. sync_file_range is not here on purpose: it promises nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static void store(const void *bytes, size_t len) {
    REAL(ssize_t, write, int, const void *, size_t);
    for (size_t done = 0; done < len;) {
        ssize_t now = real(trace, (const char *)bytes + done, len - done);
        if (now < 0 && errno == EINTR) continue;
        if (now <= 0) abort();
        done += (size_t)now;
    }
}

static void record(char kind, uint64_t object, uint64_t offset, const void *bytes, uint32_t len) {
    int before = errno;
    unsigned char head[21];
    head[0] = (unsigned char)kind;
    memcpy(head + 1, &object, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &len, 4);
    pthread_mutex_lock(&lock);
    if (trace < 0) {
        REAL(int, open, const char *, int, ...);
        trace = real(getenv("TRACE"), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
        if (trace < 0) abort();
    }
    store(head, sizeof head);
    if (len) store(bytes, len);
    pthread_mutex_unlock(&lock);
    errno = before;
}

static int is_below(const char *path) {
    const char *dir = getenv("TRACE_DIR");
    return dir && strncmp(path, dir, strlen(dir)) == 0;
}

/* The object behind fd if it lies below the traced folder, otherwise 0. */
static uint64_t object(int fd) {
    char link[40], path[PATH_MAX];
    struct stat stat;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0) return 0;
    path[len] = 0;
    return is_below(path) && fstat(fd, &stat) == 0 ? stat.st_ino : 0;
}

static uint64_t object_at(const char *path) {
    struct stat stat;
    return lstat(path, &stat) == 0 ? stat.st_ino : 0;
}

static void not_covered(const char *call) {
    dprintf(2, "the tracer does not cover %s\n", call);
    abort();
}

static void wrote(int fd, off_t at, const void *bytes, ssize_t len) {
    if (len <= 0) return;
    uint64_t file = object(fd);
    if (file) record('W', file, (uint64_t)at, bytes, (uint32_t)len);
    else if (fd == 1) record('A', 0, 0, bytes, (uint32_t)len);
}

ssize_t write(int fd, const void *bytes, size_t len) {
    REAL(ssize_t, write, int, const void *, size_t);
    ssize_t done = real(fd, bytes, len);
    off_t end = done > 0 && fd > 2 ? lseek(fd, 0, SEEK_CUR) : 0;
    wrote(fd, end - done, bytes, done);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    ssize_t done = real(fd, parts, count), left = done;
    off_t at = done > 0 && fd > 2 ? lseek(fd, 0, SEEK_CUR) - done : 0;
    for (int i = 0; i < count && left > 0; i++) {
        ssize_t len = (ssize_t)parts[i].iov_len < left ? (ssize_t)parts[i].iov_len : left;
        wrote(fd, at, parts[i].iov_base, len);
        at += len, left -= len;
    }
    return done;
}

#define PWRITE(name) \
    ssize_t name(int fd, const void *bytes, size_t len, off_t at) { \
        REAL(ssize_t, name, int, const void *, size_t, off_t); \
        ssize_t done = real(fd, bytes, len, at); \
        wrote(fd, at, bytes, done); \
        return done; \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define PWRITEV(name) \
    ssize_t name(int fd, const struct iovec *parts, int count, off_t at) { \
        REAL(ssize_t, name, int, const struct iovec *, int, off_t); \
        ssize_t done = real(fd, parts, count, at), left = done; \
        for (int i = 0; i < count && left > 0; i++) { \
            ssize_t len = (ssize_t)parts[i].iov_len < left ? (ssize_t)parts[i].iov_len : left; \
            wrote(fd, at, parts[i].iov_base, len); \
            at += len, left -= len; \
        } \
        return done; \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

#define SYNC(name) \
    int name(int fd) { \
        REAL(int, name, int); \
        uint64_t file = object(fd); \
        if (file) record('s', file, 0, 0, 0); \
        int result = real(fd); \
        if (file) record(result == 0 ? 'S' : 'F', file, 0, 0, 0); \
        return result; \
    }
SYNC(fsync)
SYNC(fdatasync)

#define TRUNCATE(name) \
    int name(int fd, off_t len) { \
        REAL(int, name, int, off_t); \
        int result = real(fd, len); \
        uint64_t file = result == 0 ? object(fd) : 0; \
        if (file) record('T', file, (uint64_t)len, 0, 0); \
        return result; \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

/* Growing is what an allocation does to the contents; a mode that does more is not covered. */
#define ALLOCATE(name) \
    int name(int fd, int mode, off_t at, off_t len) { \
        REAL(int, name, int, int, off_t, off_t); \
        struct stat before; \
        uint64_t file = object(fd); \
        if (file && mode != 0) not_covered(#name); \
        int known = fstat(fd, &before); \
        int result = real(fd, mode, at, len); \
        if (file && result == 0 && known == 0 && at + len > before.st_size) record('T', file, (uint64_t)(at + len), 0, 0); \
        return result; \
    }
ALLOCATE(fallocate)
ALLOCATE(fallocate64)

static void opened(const char *path, int flags, int fd, int was_there, off_t was_long) {
    if (fd < 0) return;
    uint64_t file = object(fd);
    if (!file) return;
    if (!was_there) record('C', file, 0, path, (uint32_t)strlen(path));
    else if ((flags & O_TRUNC) && was_long > 0) record('T', file, 0, 0, 0);
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, const char *, int, ...); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list arguments; \
            va_start(arguments, flags); \
            mode = va_arg(arguments, mode_t); \
            va_end(arguments); \
        } \
        struct stat before; \
        int was_there = lstat(path, &before) == 0; \
        int fd = real(path, flags, mode); \
        opened(path, flags, fd, was_there, was_there ? before.st_size : 0); \
        return fd; \
    }
OPEN(open)
OPEN(open64)

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    int result = real(path, mode);
    if (result == 0 && is_below(path)) record('M', object_at(path), 0, path, (uint32_t)strlen(path));
    return result;
}

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    int result = real(from, to);
    if (result == 0 && is_below(to)) {
        char both[2 * PATH_MAX];
        int len = snprintf(both, sizeof both, "%s%c%s", from, 0, to);
        record('R', object_at(to), 0, both, (uint32_t)len);
    }
    return result;
}

#define REMOVE(name) \
    int name(const char *path) { \
        REAL(int, name, const char *); \
        uint64_t file = object_at(path); \
        int result = real(path); \
        if (result == 0 && is_below(path)) record('U', file, 0, path, (uint32_t)strlen(path)); \
        return result; \
    }
REMOVE(unlink)
REMOVE(rmdir)

int unlinkat(int dir, const char *path, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    char link[40], whole[2 * PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t len = path[0] == '/' ? 0 : readlink(link, whole, PATH_MAX);
    if (len < 0) len = 0;
    snprintf(whole + len, sizeof whole - (size_t)len, "%s%s", len ? "/" : "", path);
    uint64_t file = object_at(whole);
    int result = real(dir, path, flags);
    if (result == 0 && is_below(whole)) record('U', file, 0, whole, (uint32_t)strlen(whole));
    return result;
}

#define REFUSE(name, fd) if (object(fd)) not_covered(#name)

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t len, unsigned flags) {
    REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
    REFUSE(copy_file_range, out);
    return real(in, in_at, out, out_at, len, flags);
}

ssize_t sendfile64(int out, int in, off64_t *at, size_t len) {
    REAL(ssize_t, sendfile64, int, int, off64_t *, size_t);
    REFUSE(sendfile, out);
    return real(out, in, at, len);
}
