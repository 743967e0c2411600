/* Preloaded into a node: shows its process a wall clock that is ahead of the machine's, and leaves every other clock alone.
 *
 * By how much is in the file that CLOCK_SHIM names: eight bytes, a signed number of nanoseconds. It is mapped, so that who
 * writes to it moves the clock of a process that runs. What asks the kernel past the C library is not shown it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL

static const volatile int64_t *ahead_ns;
static int (*machine_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_SHIM");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *ahead_ns, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED)
        abort();
    close(file);
    ahead_ns = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *shown) {
    if (!machine_clock)
        machine_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = machine_clock(clock, shown);
    int is_wall_clock = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if (!failed && is_wall_clock && ahead_ns) {
        int64_t ns = shown->tv_nsec + *ahead_ns % SECOND_NS;
        shown->tv_sec += *ahead_ns / SECOND_NS + (ns >= SECOND_NS) - (ns < 0);
        shown->tv_nsec = ns + (ns < 0 ? SECOND_NS : 0) - (ns >= SECOND_NS ? SECOND_NS : 0);
    }
    return failed;
}

int gettimeofday(struct timeval *shown, void *zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    shown->tv_sec = now.tv_sec;
    shown->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *shown) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (shown)
        *shown = now.tv_sec;
    return now.tv_sec;
}
