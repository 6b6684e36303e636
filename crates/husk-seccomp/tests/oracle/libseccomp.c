// SPDX-License-Identifier: Apache-2.0
// Makes filters by libseccomp, for tests to compare with: built and run by tests/oracle/mod.rs, no part of husk.
//
// Reads commands, one a line, and answers to "end" and "resolve" with one line each:
//   begin ACTION          a new filter with this default
//   only                  not for this machine's architecture
//   arch NAME             and for this one
//   rule ACTION CALL [ARGUMENT OPERATOR VALUE VALUE2]...
//   end                   -> "ok" and the program as hexadecimal bytes, or "refused" and what and why
//   resolve ARCH CALL     -> the number, or "unknown"
#include <errno.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char refusal[256];

static char *word(void) {
    char *found = strtok(NULL, " \n");
    return found ? found : "";
}

static void note(const char *what, int error) {
    if (error && !refusal[0])
        snprintf(refusal, sizeof refusal, "%s: %s", what, strerror(-error));
}

static void add_rule(scmp_filter_ctx filter) {
    uint32_t action = strtoul(word(), NULL, 0);
    char *call = word(), *argument;
    struct scmp_arg_cmp conditions[6];
    unsigned count = 0;
    while (*(argument = word()) && count < 6) {
        conditions[count].arg = atoi(argument);
        conditions[count].op = atoi(word());
        conditions[count].datum_a = strtoull(word(), NULL, 0);
        conditions[count].datum_b = strtoull(word(), NULL, 0);
        count++;
    }
    int number = seccomp_syscall_resolve_name(call);
    if (number != __NR_SCMP_ERROR)
        note(call, seccomp_rule_add_array(filter, action, number, count, conditions));
}

static void print_program(scmp_filter_ctx filter) {
    FILE *file = tmpfile();
    unsigned char bytes[8];
    note("export", seccomp_export_bpf(filter, fileno(file)));
    rewind(file);
    printf(refusal[0] ? "refused %s" : "ok ", refusal);
    while (!refusal[0] && fread(bytes, sizeof bytes, 1, file) == 1)
        for (unsigned i = 0; i < sizeof bytes; i++)
            printf("%02x", bytes[i]);
    printf("\n");
    fclose(file);
}

int main(void) {
    static char line[65536];
    scmp_filter_ctx filter = NULL;
    while (fgets(line, sizeof line, stdin)) {
        char *command = strtok(line, " \n");
        if (!command)
            continue;
        if (!strcmp(command, "begin")) {
            refusal[0] = 0;
            filter = seccomp_init(strtoul(word(), NULL, 0));
        } else if (!strcmp(command, "only")) {
            note("only", seccomp_arch_remove(filter, SCMP_ARCH_NATIVE));
        } else if (!strcmp(command, "arch")) {
            int error = seccomp_arch_add(filter, seccomp_arch_resolve_name(word()));
            note("arch", error == -EEXIST ? 0 : error);
        } else if (!strcmp(command, "rule")) {
            add_rule(filter);
        } else if (!strcmp(command, "end")) {
            print_program(filter);
            seccomp_release(filter);
        } else if (!strcmp(command, "resolve")) {
            uint32_t arch = seccomp_arch_resolve_name(word());
            int number = seccomp_syscall_resolve_name_arch(arch, word());
            printf(number == __NR_SCMP_ERROR ? "unknown\n" : "%d\n", number);
        }
        fflush(stdout);
    }
    return 0;
}
