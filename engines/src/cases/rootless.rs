// SPDX-License-Identifier: Apache-2.0
//! Podman of an ordinary user: the runtime is called as root of a user namespace, without rights to the machine's cgroups.

use super::Cases;
use crate::case::{does, exits, shows};

pub(crate) const CASES: Cases = &[
    ("run", &[shows("podman run --rm box look", "Seccomp:\t2")]),
    ("run: exit status", &[exits(7, "podman run --rm box sh -c 'exit 7'")]),
    ("run: no such command", &[exits(127, "podman run --rm box no-such")]),
    ("run: not a program", &[exits(126, "podman run --rm box /data/text")]),
    ("run: standard input", &[shows("echo hello | podman run --rm -i box cat", "hello")]),
    (
        "run: many at once",
        &[
            does("for i in 1 2 3 4 5 6; do podman run --rm --name m$i box echo $i >$i.out 2>&1 & done; wait"),
            shows("cat [1-6].out", "6"),
        ],
    ),
    (
        "terminal",
        &[shows("terminal 'podman run --rm -it box sh' 'tty; size; echo $TERM' 'exit 3'", "status 3")],
    ),
    (
        "exec",
        &[
            does("podman run -d --name one box sleep 100"),
            shows("podman exec one look", "Seccomp:\t2"),
            shows("podman exec -e A=1 -u ana -w /data one sh -c 'id; pwd; echo $A'", "uid=1000(ana)"),
            exits(5, "podman exec one sh -c 'exit 5'"),
            exits(126, "podman exec one /data/text"),
            exits(127, "podman exec one no-such"),
            shows("echo hello | podman exec -i one cat", "hello"),
            shows("terminal 'podman exec -it one sh' 'tty; size' 'exit 6'", "status 6"),
        ],
    ),
    (
        "attach",
        &[
            does(
                "podman run -di --name one box sh -c 'read x; echo got $x; echo bad >&2; sleep 0.3; exit 4'",
            ),
            shows("{ sleep 0.2; echo hi; sleep 1; } | podman attach one", "got hi"),
            shows("podman logs one 2>/dev/null", "got hi"),
        ],
    ),
    (
        "create, init, start, wait, remove",
        &[
            does("podman create --name one box sh -c 'echo started; exit 3'"),
            does("podman init one"),
            shows("podman inspect -f '{{.State.Status}}' one", "initialized"),
            does("podman start one"),
            shows("podman wait one", "3"),
            exits(3, "podman start -a one"),
            does("podman rm one"),
        ],
    ),
    (
        "stop",
        &[
            does(
                "podman run -d --name one box sh -c 'trap \"echo asked; exit 5\" TERM; echo up; while :; do sleep 0.1; done'",
            ),
            shows("await up podman logs one", "up"),
            does("podman stop one"),
            shows("podman logs one", "asked"),
            shows(
                "podman inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}' one",
                "exited 5 0",
            ),
        ],
    ),
    (
        "stop: in vain, then killed",
        &[
            does("podman run -d --name one box sh -c 'trap \"\" TERM; sleep 50 & sleep 51 & echo up; wait'"),
            shows("await up podman logs one", "up"),
            does("podman stop -t 1 one 2>/dev/null"),
            shows("podman inspect -f '{{.State.ExitCode}}' one", "137"),
            // Without cgroups the rest of the container goes with its first process.
            shows("await 0 sh -c \"ps -e -o args= | grep -c '^sleep 5[01]'\"", "0"),
        ],
    ),
    (
        "kill: signals",
        &[
            does(
                "podman run -d --name one box sh -c 'for s in HUP USR1 USR2 WINCH; do trap \"echo $s\" $s; done; echo up; while :; do sleep 0.05; done'",
            ),
            shows("await up podman logs one", "up"),
            does("for s in HUP SIGUSR1 12 WINCH; do podman kill -s $s one; done"),
            shows("await 5 sh -c 'podman logs one | wc -l' && podman logs one", "USR2\nWINCH"),
            does("podman kill one"),
            shows("podman wait one", "137"),
        ],
    ),
    (
        "restart",
        &[
            does("podman run -d --name one box sh -c 'date +%s%N; sleep 100'"),
            shows("await 1 sh -c 'podman logs one | wc -l'", "1"),
            does("podman restart -t 0 one"),
            shows("await 2 sh -c 'podman logs one | wc -l'", "2"),
            shows("podman inspect -f '{{.State.Status}}' one", "running"),
        ],
    ),
    (
        "what takes a cgroup",
        &[
            does("podman run -d --name one --memory 64m --pids-limit 30 box sleep 100"),
            exits(125, "podman pause one"),
            exits(125, "podman stats --no-stream one"),
            shows("podman top one user args | sort", "sleep 100"),
            shows("podman exec one cat /proc/self/cgroup", "memory:/"),
        ],
    ),
    (
        "read-only, capabilities, limits",
        &[
            exits(1, "podman run --rm --read-only box touch /x"),
            shows("podman run --rm --read-only --tmpfs /t:size=1m box sh -c 'touch /t/x && look'", "/t / rw"),
            shows("podman run --rm --cap-add net_admin,SYS_TIME box grep Cap /proc/self/status", "CapEff"),
            shows(
                "podman run --rm --cap-drop all -u ana --security-opt no-new-privileges box grep -E 'Cap|NoNew' /proc/self/status",
                "NoNewPrivs:\t1",
            ),
            shows("podman run --rm --ulimit nofile=100:200 box grep files /proc/self/limits", "100"),
            shows("podman run --rm --sysctl kernel.msgmax=4096 box cat /proc/sys/kernel/msgmax", "4096"),
            exits(1, "podman run --rm box unshare -m true"),
        ],
    ),
    ("for systemd", &[shows("podman run --rm --systemd always box look", "/sys/fs/cgroup/systemd")]),
    ("privileged", &[shows("podman run --rm --privileged box look", "Seccomp:\t0")]),
    ("devices", &[shows("podman run --rm --device /dev/null:/dev/nothing box look", "/dev/nothing")]),
    (
        "volumes",
        &[
            does("mkdir -p v && echo text >v/file && chmod 777 v && chown -R user:user v"),
            shows(
                "podman run --rm -v $PWD/v:/v box sh -c 'cat /v/file; echo new >/v/new; stat -c %u /v/file'",
                "text\n0",
            ),
            shows("test $(stat -c %u v/new) = $(id -u user) && echo the user", "the user"),
            exits(1, "podman run --rm -v $PWD/v:/v:ro box sh -c 'echo x >/v/file'"),
            shows("podman run --rm -u ana -v $PWD/v:/v:U box stat -c '%u %n' /v /v/new", "1000 /v/new"),
            shows("podman run --rm -v data:/home box ls /home && podman volume rm data", "ana"),
        ],
    ),
    (
        "user namespaces",
        &[
            shows("podman run --rm --userns keep-id box sh -c 'id -u; cat /proc/self/uid_map'", "61000"),
            shows("podman run --rm --userns auto:size=2000 box cat /proc/self/uid_map", "2000"),
            shows("podman run --rm --uidmap 0:1:1000 --gidmap 0:1:1000 box look", "1000"),
            shows("podman run --rm -u 1234:5678 --group-add 10 box id", "uid=1234"),
        ],
    ),
    (
        "namespaces: the host's",
        &[
            does("podman run -d --name one --pid host --net host --uts host box sleep 100"),
            shows("outside $(podman inspect -f '{{.State.Pid}}' one)", "pid the world's"),
            shows("podman exec one hostname", "engines"),
        ],
    ),
    (
        "namespaces: another container's",
        &[
            does("podman run -d --name one --ipc shareable box sleep 100"),
            does(
                "podman run -d --name two --pid container:one --ipc container:one --net container:one --uts container:one box sleep 99",
            ),
            shows("podman exec two ps -o args | sort", "sleep 100"),
            does("podman rm -f -t 0 two"),
        ],
    ),
    (
        "pods",
        &[
            does("podman pod create --name group --network none"),
            does("podman run -d --pod group --name one box sleep 100"),
            shows("podman run --rm --pod group box ip -o link | wc -l", "1"),
            shows("podman pod ps --format '{{.Name}} {{.NumberOfContainers}}'", "group 2"),
            does("podman pod rm -f -t 0 group"),
        ],
    ),
    (
        "init, healthcheck",
        &[
            shows("podman run --rm --init box ps -o args", "podman-init"),
            does("podman run -d --name one --health-interval disable --health-cmd true box sleep 100"),
            does("podman healthcheck run one"),
        ],
    ),
    (
        "build",
        &[
            does("printf 'FROM localhost/box\\nRUN id >/made\\nUSER ana\\nRUN id\\n' >home/Dockerfile"),
            shows("podman build --no-cache --network none -t built -f home/Dockerfile home", "uid=1000(ana)"),
            shows("podman run --rm built cat /made", "uid=0(root)"),
            does("podman rmi built"),
        ],
    ),
];
