/* Starts one program where a benchmark wants it and says what it cost.
 *
 *   launch REPORT CPU CGROUP_PROCS RIGHTS PROGRAM [ARG ...]      ("-" leaves a setting alone)
 *
 * RIGHTS "none" drops every capability for good: what an ordinary user has, though files stay readable (an
 * interpreter may live where user nobody cannot go).
 *
 * Writes "wall_ns cpu_us peak_rss_kib status" to REPORT. It exists because a process forked from Python carries
 * Python's peak memory into its own figure, and because it is small enough to add nothing of its own.
 * Compiled by bench/emulator.py when a benchmark runs; never part of the product.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}
static void fail(const char *what) { perror(what); _exit(126); }

static void become(char **argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strcmp(argv[2], "-")) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(atoi(argv[2]), &set);
        if (sched_setaffinity(0, sizeof set, &set)) fail("launch: CPU");
    }
    if (strcmp(argv[3], "-")) {
        FILE *members = fopen(argv[3], "w");
        if (!members || fprintf(members, "0") < 1 || fclose(members)) fail("launch: control group");
    }
    if (strcmp(argv[4], "-")) {
        for (int right = 0; right < 64; right++) prctl(PR_CAPBSET_DROP, right, 0, 0, 0);
        if (prctl(PR_CAPBSET_READ, 13, 0, 0, 0)) fail("launch: rights"); /* 13: CAP_NET_RAW */
    }
    execvp(argv[5], argv + 5);
    fail(argv[5]);
}
int main(int argc, char **argv) {
    if (argc < 6) return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    long long start = now_ns();
    pid_t child = fork();
    if (!child) become(argv);
    int status;
    struct rusage used;
    if (child < 0 || wait4(child, &status, 0, &used) != child) return 1;
    long long cpu_us = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000ll + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
    FILE *report = fopen(argv[1], "w");
    if (!report) return 1;
    fprintf(report, "%lld %lld %ld %d\n", now_ns() - start, cpu_us, used.ru_maxrss, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
    return fclose(report) != 0;
}
