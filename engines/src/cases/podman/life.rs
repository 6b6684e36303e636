// SPDX-License-Identifier: Apache-2.0
//! From run to remove, and what can be done to a container in between.

use crate::case::{does, exits, shows};
use crate::cases::Cases;

pub(crate) const CASES: Cases = &[
    ("run", &[shows("podman run --rm box look", "Seccomp:\t2")]),
    ("run: exit status", &[exits(7, "podman run --rm box sh -c 'exit 7'")]),
    ("run: no such command", &[exits(127, "podman run --rm box no-such")]),
    ("run: not a program", &[exits(126, "podman run --rm box /data/text")]),
    ("run: standard input", &[shows("echo hello | podman run --rm -i box cat", "hello")]),
    ("run: killed by a signal", &[exits(137, "podman run --rm --init box sh -c 'kill -9 $$'")]),
    (
        "run: what Podman can more",
        &[
            shows(
                "podman run --rm --umask 0077 --tz UTC --unsetenv HOME --passwd=false -e A=1 -w /data --hostname web box look",
                "Umask:\t0077",
            ),
            shows("podman run --rm --rootfs $PWD/root:O look", "mounts"),
            shows(
                "podman run --rm --annotation a=b --label c=d --entrypoint '[\"echo\",\"x\"]' box y",
                "x y",
            ),
            exits(5, "podman run --rm --preserve-fds 1 box sh -c 'cat <&3; exit 5' 3<<END\ngiven\nEND"),
        ],
    ),
    ("run: timeout", &[exits(255, "podman run --rm --timeout 1 box sleep 100")]),
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
        "terminal: interrupted",
        &[shows(
            "terminal 'podman run --rm -it box sh' 'echo up; sleep 100' 'see:up' 'key:C-c' 'echo $?' 'exit 3'",
            "130\n",
        )],
    ),
    (
        "terminal: resized",
        &[shows(
            "terminal 'podman run --rm -it box sh' 'size' 'see:#' 'size:100x30' 'size 30 100' 'exit'",
            "30 100",
        )],
    ),
    (
        "terminal: detach and attach",
        &[
            shows(
                "terminal 'podman run -it --name one box sh' 'X=kept' 'see:#' 'key:C-p' 'key:C-q'",
                "status 0",
            ),
            shows("podman inspect -f '{{.State.Status}}' one", "running"),
            // Whether the new size of the terminal makes the shell print its prompt once more is chance.
            shows("terminal 'podman attach one' 'key:Enter' 'clear; echo $X' 'exit 4'", "kept"),
        ],
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
            shows("podman exec --privileged one grep Seccomp: /proc/self/status || true", ""),
        ],
    ),
    (
        "exec: detached",
        &[
            does("podman run -d --name one box sleep 100"),
            does("podman exec -d one sh -c 'echo here >/tmp/file; sleep 50'"),
            shows("await here podman exec one cat /tmp/file", "here"),
            shows("await 1 sh -c \"podman exec one ps -o args | grep -c '^sleep 50'\"", "1"),
        ],
    ),
    (
        "exec: terminal",
        &[
            does("podman run -d --name one box sleep 100"),
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
            shows("podman inspect -f '{{.State.Status}} {{.State.Pid}}' one", "created 0"),
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
            does(
                "podman run -d --name one --stop-signal USR1 box sh -c 'trap \"echo no\" USR1; echo up; while :; do sleep 0.1; done'",
            ),
            shows("await up podman logs one", "up"),
            does("podman stop -t 1 one"),
            shows("podman inspect -f '{{.State.ExitCode}}' one", "137"),
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
            exits(125, "podman kill one"),
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
        "restart: policy",
        &[
            does("podman run -d --name one --restart on-failure:2 box sh -c 'echo run; exit 1'"),
            shows("await 'exited 2' podman inspect -f '{{.State.Status}} {{.RestartCount}}' one", "exited 2"),
            shows("podman logs one | grep -c run", "3"),
        ],
    ),
    (
        "conmon is killed",
        &[
            does("podman run -d --name one box sh -c 'sleep 60; true'"),
            does("pkill -9 -x conmon"),
            shows("podman ps -a --format '{{.Names}} {{.State}}' | cut -d' ' -f1,2", "one"),
            does("podman rm -f -t 0 one"),
            shows("await 0 sh -c \"ps -e -o args= | grep -c '^sleep 60'\"", "0"),
        ],
    ),
    (
        "pause",
        &[
            does("podman run -d --name one box sleep 100"),
            shows("podman pause one", "one"),
            shows("podman inspect -f '{{.State.Status}} {{.State.Paused}}' one", "paused true"),
            exits(255, "podman exec one true"),
            does("podman unpause one"),
            shows("podman inspect -f '{{.State.Status}}' one", "running"),
            does("podman pause one && podman rm -f -t 0 one"),
        ],
    ),
    (
        "update",
        &[
            does("podman run -d --name one --memory 64m box sleep 100"),
            does("podman update --memory 32m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 one"),
            shows("podman exec one limit memory pids cpu shares cpuset", "33554432"),
        ],
    ),
    (
        "logs",
        &[
            does(
                "podman run --name one box sh -c 'for i in 1 2 3; do echo out $i; echo bad $i >&2; done' >/dev/null 2>&1",
            ),
            shows("podman logs one 2>/dev/null", "out 3"),
            does("podman run -d --name two box sh -c 'for i in 1 2 3; do echo $i; sleep 0.1; done'"),
            shows("podman logs -f two", "3"),
        ],
    ),
    (
        "top",
        &[
            does("podman run -d --name one box sh -c 'sleep 100; true'"),
            shows("await 1 sh -c \"podman exec one ps -o args | grep -c '^sleep 100'\"", "1"),
            shows("podman top one user args | sort", "sleep 100"),
            shows("podman top one capeff seccomp state | sort", "filter"),
        ],
    ),
    (
        "stats",
        &[
            does("podman run -d --name one --memory 64m box sh -c 'sleep 100; true'"),
            shows("await 1 sh -c \"podman exec one ps -o args | grep -c '^sleep 100'\"", "1"),
            shows(
                "podman stats --no-stream --format '{{.Name}} {{.PIDS}} {{.MemUsage}}' one | sed 's/[0-9.]*[kM]B \\///'",
                "one 2",
            ),
        ],
    ),
    (
        "healthcheck",
        &[
            does(
                "podman run -d --name one --health-interval disable --health-retries 1 --health-cmd 'test -e /tmp/well' box sh -c 'touch /tmp/well; sleep 100'",
            ),
            does("podman healthcheck run one"),
            does("podman exec one rm /tmp/well"),
            exits(1, "podman healthcheck run one"),
            shows("podman inspect -f '{{.State.Health.Status}}' one", "unhealthy"),
        ],
    ),
    ("init", &[shows("podman run --rm --init box ps -o args", "podman-init")]),
];
