// SPDX-License-Identifier: Apache-2.0
// Runs a program in a mount namespace: within NAMESPACE PROGRAM [ARGUMENT...]. So that what a runtime does in one can be measured
// beside what it does in another, each time with the same program before it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 3) {
        fputs("usage: within NAMESPACE PROGRAM [ARGUMENT...]\n", stderr);
        return 125;
    }
    int namespace = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || setns(namespace, CLONE_NEWNS) < 0) {
        perror(argv[1]);
        return 125;
    }
    execv(argv[2], argv + 2);
    perror(argv[2]);
    return 125;
}
