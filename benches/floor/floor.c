// SPDX-License-Identifier: Apache-2.0
//
// The floor: a container in bare C.
//
// This program does the system calls that a container needs, in order, and nothing else: no options, no
// clean-up, no advice. What it takes is what the kernel takes, so it is what `cargo xtask bench` measures husk
// against. What husk does besides for safety's sake is not in here and counts as husk's own cost: it looks at the
// host and plans, claims ids that nobody else has, reads its privileges back before the exec, and puts a guard
// beside itself, a second process that ends the container should husk be killed. This is also the shortest complete answer to "what is a container?": read `parent` and `child` from
// top to bottom.
//
//     floor ROOT COMMAND [ARG...]             what `husk run ROOT COMMAND` does
//     floor --cgroups ROOT COMMAND [ARG...]   the same, in a cgroup of its own in every hierarchy, which it sees at
//                                             /sys/fs/cgroup: what an OCI runtime makes besides
//     floor --by-hand ROOT COMMAND [ARG...]   what `unshare --pid --uts --ipc --mount --fork --mount-proc
//                                             chroot ROOT COMMAND` does, which is much less
//
// Compile: cc -O2 -static floor.c. Root gets a range of 65536 ids and an idmapped root; anybody else gets a map
// of one id, their own, and needs nothing prepared.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h> // not sys/mount.h: before glibc 2.36 that one lacks the new calls, since then the two clash
#include <linux/sched.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// Constants of the kernel's ABI that older user-space headers do not have.
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

enum { FIRST_HOST_ID = 524288, IDS = 65536 };

static void die(const char *step) {
    dprintf(2, "floor: %s: %s\n", step, strerror(errno));
    _exit(125);
}

// Every call below is one that must succeed; TRY names it when it does not.
#define TRY(step, call) ({ long result_ = (call); if (result_ < 0) die(step); result_; })

// The new mount API, one line per call. A mount is an fd first (`fsmount`, `open_tree`) and gets its place
// last (`move_mount`), so no half-made mount is ever visible and no path is resolved twice.

static int open_tree(const char *path, unsigned flags) {
    return TRY(path, syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags));
}

static void move_mount(int mount, const char *to) {
    TRY(to, syscall(SYS_move_mount, mount, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH));
}

static void set_attributes(int mount, const char *path, struct mount_attr attributes) {
    TRY("mount_setattr", syscall(SYS_mount_setattr, mount, path, AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                                 sizeof attributes));
}

// Makes a file system of `type` and mounts it on `to`. `options` is NULL-terminated: key, value, key, value.
static void new_mount(const char *type, const char *to, unsigned attributes, const char *const *options) {
    int context = TRY(type, syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
    for (; options && options[0]; options += 2)
        TRY(options[0], syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, options[0], options[1], 0));
    TRY(type, syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    int mount = TRY(type, syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes));
    move_mount(mount, to);
    close(mount);
    close(context);
}

static const unsigned HARMLESS = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

#define OPTIONS(...) (const char *const[]){__VA_ARGS__, NULL}

static void write_file(const char *path, const char *text) {
    int fd = TRY(path, open(path, O_WRONLY | O_CLOEXEC));
    TRY(path, write(fd, text, strlen(text)));
    close(fd);
}

static void make_file(const char *path) {
    close(TRY(path, open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644)));
}

static void bind_mount(const char *from, const char *to, unsigned attributes) {
    int mount = open_tree(from, 0);
    if (attributes)
        set_attributes(mount, "", (struct mount_attr){.attr_set = attributes});
    move_mount(mount, to);
    close(mount);
}

// --- /dev ---------------------------------------------------------------------------------------------------

static void mount_dev(int is_root) {
    // mknod of a device is refused in a user namespace whatever the capabilities, so the host's nodes are bound.
    static const char *const NODES[][2] = {
        {"/dev/null", "dev/null"},     {"/dev/zero", "dev/zero"},       {"/dev/full", "dev/full"},
        {"/dev/random", "dev/random"}, {"/dev/urandom", "dev/urandom"}, {"/dev/tty", "dev/tty"},
    };
    static const char *const LINKS[][2] = {
        {"/proc/self/fd", "dev/fd"},       {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"},
        {"/proc/self/fd/2", "dev/stderr"}, {"pts/ptmx", "dev/ptmx"},
    };

    new_mount("tmpfs", "dev", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, OPTIONS("mode", "755", "size", "64k"));
    for (size_t i = 0; i < sizeof NODES / sizeof *NODES; i++) {
        make_file(NODES[i][1]);
        bind_mount(NODES[i][0], NODES[i][1], MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    }
    for (size_t i = 0; i < sizeof LINKS / sizeof *LINKS; i++)
        TRY(LINKS[i][1], symlink(LINKS[i][0], LINKS[i][1]));

    TRY("dev/pts", mkdir("dev/pts", 0755));
    // Group 5 (tty) exists only where a range of ids is mapped. Each devpts is an instance of its own.
    new_mount("devpts", "dev/pts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
              is_root ? OPTIONS("ptmxmode", "0666", "mode", "0620", "gid", "5")
                      : OPTIONS("ptmxmode", "0666", "mode", "0620"));
    TRY("dev/shm", mkdir("dev/shm", 0755));
    new_mount("tmpfs", "dev/shm", HARMLESS, OPTIONS("mode", "1777", "size", "64m"));
    TRY("dev/mqueue", mkdir("dev/mqueue", 0755));
    new_mount("mqueue", "dev/mqueue", HARMLESS, NULL);
}

// --- what of /proc and /sys is kept from the container --------------------------------------------------------

// The union of what Docker and Podman mask. A path that this kernel does not have needs no mask.
static void mask(void) {
    static const char *const MASKED[] = {
        "proc/acpi", "proc/asound", "proc/interrupts", "proc/kcore", "proc/keys", "proc/latency_stats",
        "proc/sched_debug", "proc/scsi", "proc/timer_list", "proc/timer_stats", "sys/dev/block",
        "sys/devices/virtual/powercap", "sys/firmware", "sys/fs/selinux",
    };
    const char *empty = NULL; // the first masked directory: one empty tmpfs does for all
    for (size_t i = 0; i < sizeof MASKED / sizeof *MASKED; i++) {
        struct stat status;
        if (lstat(MASKED[i], &status) < 0)
            continue;
        if (!S_ISDIR(status.st_mode)) {
            bind_mount("/dev/null", MASKED[i], 0);
        } else if (empty) {
            bind_mount(empty, MASKED[i], 0);
        } else {
            new_mount("tmpfs", MASKED[i], HARMLESS | MOUNT_ATTR_RDONLY, OPTIONS("size", "0", "nr_inodes", "1"));
            empty = MASKED[i];
        }
    }
}

static void make_read_only(void) {
    static const char *const READ_ONLY[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
    for (size_t i = 0; i < sizeof READ_ONLY / sizeof *READ_ONLY; i++) {
        if (access(READ_ONLY[i], F_OK) < 0)
            continue;
        int mount = open_tree(READ_ONLY[i], AT_RECURSIVE);
        set_attributes(mount, "", (struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY});
        move_mount(mount, READ_ONLY[i]);
        close(mount);
    }
}

// --- identity and confinement ---------------------------------------------------------------------------------

static void loopback_up(void) {
    int fd = TRY("socket", socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    TRY("lo up", ioctl(fd, SIOCSIFFLAGS, &request));
    close(fd);
}

static void drop_capabilities(void) {
    const uint64_t keep = 1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_FOWNER | 1ULL << CAP_FSETID |
                          1ULL << CAP_SETUID | 1ULL << CAP_SETGID | 1ULL << CAP_KILL | 1ULL << CAP_SYS_ADMIN;
    // The bounding set first: dropping from it needs CAP_SETPCAP. EINVAL marks the end of the kernel's list.
    for (int cap = 0; cap < 64; cap++)
        if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            if (errno == EINVAL)
                break;
            die("drop from the bounding set");
        }
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = keep, .permitted = keep},
        {.effective = keep >> 32, .permitted = keep >> 32},
    };
    TRY("capset", syscall(SYS_capset, &header, data)); // and nothing inheritable
}

// --- the two processes ----------------------------------------------------------------------------------------

// `tree` is the detached copy of ROOT that the parent idmaps, or -1: an ordinary user may not copy mounts on the
// host, but may in the new namespaces, where the capabilities are.
// --- cgroups --------------------------------------------------------------------------------------------------

enum { HIERARCHIES = 32 };

// A hierarchy of cgroups, and the container's directory in it.
struct cgroup {
    const char *mount, *path;
    int is_v2, tasks;
};

static struct cgroup cgroups[HIERARCHIES];
static int cgroup_count, v2_cgroup = -1;

static void copy_file(const char *from, const char *to) {
    char text[256] = "";
    int file = TRY(from, open(from, O_RDONLY | O_CLOEXEC));
    TRY(from, read(file, text, sizeof text - 1));
    close(file);
    write_file(to, text);
}

// From outside: a directory in each hierarchy. A process enters by itself, with a file that is open already, since whoever
// moves another waits for all processors (RCU); version 2 takes it at its clone.
static void make_cgroups(void) {
    char mount[128], type[32], path[192], from[192], to[224];
    FILE *mounts = fopen("/proc/self/mounts", "r");
    if (!mounts)
        die("/proc/self/mounts");
    while (cgroup_count < HIERARCHIES && fscanf(mounts, "%*s %127s %31s %*[^\n]", mount, type) == 2) {
        if (strncmp(type, "cgroup", 6) != 0)
            continue;
        struct cgroup *made = &cgroups[cgroup_count++];
        snprintf(path, sizeof path, "%s/husk-floor-%d", mount, getpid());
        *made = (struct cgroup){strdup(mount), strdup(path), strcmp(type, "cgroup2") == 0, -1};
        TRY(path, mkdir(path, 0755));
        if (made->is_v2) {
            v2_cgroup = TRY(path, open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
            continue;
        }
        for (int i = 0; i < 2 && strstr(mount, "cpuset"); i++) { // a new one is empty, and takes nobody
            snprintf(from, sizeof from, "%s/%s", mount, i ? "cpuset.mems" : "cpuset.cpus");
            snprintf(to, sizeof to, "%s/%s", path, i ? "cpuset.mems" : "cpuset.cpus");
            copy_file(from, to);
        }
        snprintf(to, sizeof to, "%s/tasks", path);
        made->tasks = TRY(to, open(to, O_WRONLY | O_CLOEXEC));
    }
    fclose(mounts);
}

static void enter_cgroups(void) {
    for (int i = 0; i < cgroup_count; i++)
        if (!cgroups[i].is_v2)
            TRY("enter a cgroup", write(cgroups[i].tasks, "0", 1));
}

// From inside, the root being mounted: the container sees its own cgroups and cannot change them.
static void mount_cgroups(void) {
    const unsigned read_only = HARMLESS | MOUNT_ATTR_RDONLY;
    char place[192];
    if (cgroup_count == 0)
        return;
    new_mount("tmpfs", "sys/fs/cgroup", HARMLESS, OPTIONS("mode", "755"));
    for (int i = 0; i < cgroup_count; i++) {
        const char *name = strrchr(cgroups[i].mount, '/');
        snprintf(place, sizeof place, "sys/fs/cgroup%s", name);
        TRY(place, mkdir(place, 0755));
        bind_mount(cgroups[i].path, place, read_only);
    }
    set_attributes(AT_FDCWD, "sys/fs/cgroup", (struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY});
}

static void remove_cgroups(void) {
    for (int i = 0; i < cgroup_count; i++)
        TRY(cgroups[i].path, rmdir(cgroups[i].path));
}

static void child(int parent, int tree, const char *root, char **command, int is_root) {
    // Until the parent has written the id maps nothing works as root. End of file: the parent is dead.
    // What needs no id is done meanwhile.
    TRY("PDEATHSIG", prctl(PR_SET_PDEATHSIG, SIGKILL));
    enter_cgroups();
    loopback_up();
    TRY("sethostname", sethostname("container", strlen("container")));
    set_attributes(AT_FDCWD, "/", (struct mount_attr){.propagation = MS_PRIVATE});
    char byte;
    if (read(parent, &byte, 1) != 1)
        _exit(125);

    umask(0);
    if (is_root) // 0 on the host is nobody in here until it becomes the 0 of the map
        TRY("setgroups", syscall(SYS_setgroups, 0, NULL));
    TRY("setresgid", syscall(SYS_setresgid, 0, 0, 0));
    TRY("setresuid", syscall(SYS_setresuid, 0, 0, 0));
    TRY("not dumpable", prctl(PR_SET_DUMPABLE, 0)); // /proc/1/exe is a file of the host's until the exec

    // The root goes on top of "/". Absolute paths still reach the host's files, which lie below it, and relative
    // ones the container's: no path is ever glued together from both.
    if (tree < 0)
        tree = open_tree(root, AT_RECURSIVE);
    move_mount(tree, "/");
    TRY("fchdir", fchdir(tree));

    new_mount("proc", "proc", HARMLESS, NULL);
    new_mount("sysfs", "sys", HARMLESS | MOUNT_ATTR_RDONLY, NULL);
    mount_cgroups();
    mount_dev(is_root);
    new_mount("tmpfs", "tmp", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, OPTIONS("mode", "1777", "size", "64m"));
    new_mount("tmpfs", "run", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, OPTIONS("mode", "755", "size", "64m"));
    write_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"); // of the network namespace that the writer is in
    write_file("/proc/sys/net/ipv4/ping_group_range", is_root ? "0 65535" : "0 0");
    mask();
    make_read_only();

    // pivot_root(2), "pivot_root(".", ".")": old and new root stacked on one place, then the upper one, the old,
    // is let go. From here on the host's files have no name.
    TRY("pivot_root", syscall(SYS_pivot_root, ".", "."));
    TRY("umount old root", syscall(SYS_umount2, ".", MNT_DETACH));
    TRY("chdir", chdir("/"));

    TRY("setsid", setsid());
    TRY("RLIMIT_CORE", setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}));
    drop_capabilities();
    TRY("no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    TRY("PDEATHSIG", prctl(PR_SET_PDEATHSIG, SIGKILL)); // again: setresuid has cleared it
    umask(022);
    TRY("close_range", syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC));
    execve(command[0], command, (char *[]){"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                           "HOME=/root", "HOSTNAME=container", NULL});
    die(command[0]);
}

// The id maps: from outside, because a process may map itself only to its own id.
static void write_id_maps(int pid, int is_root) {
    char path[64], uids[64], gids[64];
    int first_uid = is_root ? FIRST_HOST_ID : getuid(), first_gid = is_root ? FIRST_HOST_ID : getgid();
    int count = is_root ? IDS : 1;
    snprintf(uids, sizeof uids, "0 %d %d", first_uid, count);
    snprintf(gids, sizeof gids, "0 %d %d", first_gid, count);

    snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
    write_file(path, uids);
    if (!is_root) { // user_namespaces(7): without CAP_SETGID on the host, only once setgroups is given up
        snprintf(path, sizeof path, "/proc/%d/setgroups", pid);
        write_file(path, "deny");
    }
    snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
    write_file(path, gids);
}

// Files keep their owners on disk: what 0 in the container writes is 0's on the disk, not FIRST_HOST_ID's.
static void idmap(int tree, int pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
    int user_namespace = TRY(path, open(path, O_RDONLY | O_CLOEXEC));
    set_attributes(tree, "", (struct mount_attr){.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = user_namespace});
    close(user_namespace);
}

static int exit_status(siginfo_t info) {
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static int parent(const char *root, char **command) {
    int is_root = geteuid() == 0;
    int sockets[2], pidfd = -1;
    TRY("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
    int tree = is_root ? open_tree(root, AT_RECURSIVE) : -1;

    // One call makes the process and every namespace. It starts as a copy of this one, as after fork(2).
    struct clone_args args = {
        .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET |
                 CLONE_NEWCGROUP | CLONE_PIDFD,
        .pidfd = (uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    if (v2_cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = v2_cgroup;
    }
    int pid = TRY("clone3", syscall(SYS_clone3, &args, sizeof args));
    if (pid == 0) {
        close(sockets[0]); // or the child would keep its own end of file from arriving
        child(sockets[1], tree, root, command, is_root);
    }
    close(sockets[1]);

    write_id_maps(pid, is_root);
    if (is_root)
        idmap(tree, pid);
    TRY("release the child", send(sockets[0], "", 1, MSG_NOSIGNAL));

    siginfo_t info;
    TRY("waitid", waitid(P_PIDFD, pidfd, &info, WEXITED));
    remove_cgroups();
    return exit_status(info);
}

// --- the container by hand ------------------------------------------------------------------------------------

// What people type, as `unshare` carries it out: the host's root stays reachable through any open fd, the new
// /proc lies over the host's path and not in ROOT, network and cgroups are the host's, and root is root.
static int by_hand(const char *root, char **command) {
    int uid = geteuid(), gid = getegid();
    TRY("unshare", syscall(SYS_unshare, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC |
                                            (uid == 0 ? 0 : CLONE_NEWUSER)));
    int pid = TRY("fork", fork());
    if (pid == 0) {
        if (uid != 0) {
            char map[32];
            snprintf(map, sizeof map, "0 %d 1", uid);
            write_file("/proc/self/uid_map", map);
            write_file("/proc/self/setgroups", "deny");
            snprintf(map, sizeof map, "0 %d 1", gid);
            write_file("/proc/self/gid_map", map);
        }
        TRY("make / private", syscall(SYS_mount, "none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
        TRY("mount /proc", syscall(SYS_mount, "proc", "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL));
        TRY("chroot", chroot(root));
        TRY("chdir", chdir("/"));
        execv(command[0], command);
        die(command[0]);
    }
    siginfo_t info;
    TRY("waitid", waitid(P_PID, pid, &info, WEXITED));
    return exit_status(info);
}

int main(int argc, char **argv) {
    if (argc > 3 && strcmp(argv[1], "--by-hand") == 0)
        return by_hand(argv[2], argv + 3);
    if (argc > 3 && strcmp(argv[1], "--cgroups") == 0) {
        make_cgroups();
        return parent(argv[2], argv + 3);
    }
    if (argc > 2)
        return parent(argv[1], argv + 2);
    dprintf(2, "usage: floor [--cgroups | --by-hand] ROOT COMMAND [ARG...]\n");
    return 125;
}
