// SPDX-License-Identifier: Apache-2.0
//! From run to remove, and what can be done to a container in between.

use crate::case::{does, exits, shows};
use crate::cases::Cases;

pub(crate) const CASES: Cases = &[
    ("run", &[shows("docker run --rm box look", "Seccomp:\t2")]),
    ("run: exit status", &[exits(7, "docker run --rm box sh -c 'exit 7'")]),
    ("run: no such command", &[exits(127, "docker run --rm box no-such")]),
    ("run: not a program", &[exits(126, "docker run --rm box /data/text")]),
    ("run: a directory", &[exits(126, "docker run --rm box /data")]),
    ("run: standard input", &[shows("echo hello | docker run --rm -i box cat", "hello")]),
    ("run: killed by a signal", &[exits(137, "docker run --rm --init box sh -c 'kill -9 $$'")]),
    (
        "run: environment and directory",
        &[shows(
            "docker run --rm -e A=1 -e B='x y' -w /data/new --hostname web --domainname here box look",
            "B=x y",
        )],
    ),
    (
        "run: entry point and labels",
        &[shows(
            "docker run --rm --entrypoint /bin/echo -l a=b --annotation c=d box hello 2>/dev/null || docker run --rm --entrypoint /bin/echo -l a=b box hello",
            "hello",
        )],
    ),
    (
        "run: many at once",
        &[
            does("for i in 1 2 3 4 5 6; do docker run --rm --name m$i box echo $i >$i.out 2>&1 & done; wait"),
            shows("cat [1-6].out", "6"),
        ],
    ),
    (
        "terminal",
        &[shows("terminal 'docker run --rm -it box sh' 'tty; size; echo $TERM' 'exit 3'", "status 3")],
    ),
    (
        "terminal: inside",
        &[shows(
            "terminal 'docker run --rm -it box sh' 'ls -l /dev/console; grep -c console /proc/self/mountinfo' 'readlink /proc/self/fd/0' 'exit'",
            "console",
        )],
    ),
    (
        "terminal: interrupted",
        &[shows(
            "terminal 'docker run --rm -it box sh' 'echo up; sleep 100' 'see:up' 'key:C-c' 'echo $?' 'exit 3'",
            "130\n",
        )],
    ),
    (
        "terminal: resized",
        &[shows(
            "terminal 'docker run --rm -it box sh' 'size' 'see:#' 'size:100x30' 'size 30 100' 'exit'",
            "30 100",
        )],
    ),
    (
        "terminal: detach and attach",
        &[
            shows(
                "terminal 'docker run -it --name one box sh' 'X=kept' 'see:#' 'key:C-p' 'key:C-q'",
                "status 0",
            ),
            shows("docker inspect -f '{{.State.Status}}' one", "running"),
            // Whether the new size of the terminal makes the shell print its prompt once more is chance.
            shows("terminal 'docker attach one' 'key:Enter' 'clear; echo $X' 'exit 4'", "status 4"),
        ],
    ),
    (
        "exec",
        &[
            does("docker run -d --name one box sleep 100"),
            shows("docker exec one look", "Seccomp:\t2"),
            shows("docker exec -e A=1 -u ana -w /data one sh -c 'id; pwd; echo $A'", "uid=1000(ana)"),
            exits(5, "docker exec one sh -c 'exit 5'"),
            exits(126, "docker exec one /data/text"),
            exits(126, "docker exec one no-such"),
            shows("echo hello | docker exec -i one cat", "hello"),
            shows("docker exec one readlink /proc/self/ns/pid | wc -l", "1"),
        ],
    ),
    (
        "exec: detached",
        &[
            does("docker run -d --name one box sleep 100"),
            does("docker exec -d one sh -c 'echo here >/tmp/file; sleep 50'"),
            shows("await here docker exec one cat /tmp/file", "here"),
            shows("await 1 sh -c \"docker exec one ps -o args | grep -c '^sleep 50'\"", "1"),
        ],
    ),
    (
        "exec: terminal",
        &[
            does("docker run -d --name one box sleep 100"),
            shows("terminal 'docker exec -it one sh' 'tty; size' 'exit 6'", "status 6"),
        ],
    ),
    (
        "exec: privileged",
        &[
            does("docker run -d --name one --cap-drop all box sleep 100"),
            shows("docker exec --privileged one grep CapEff /proc/self/status", "CapEff"),
        ],
    ),
    (
        "exec: many",
        &[
            does("docker run -d --name one box sleep 100"),
            does("for i in 1 2 3 4 5 6; do docker exec one echo $i >$i.out 2>&1 & done; wait"),
            shows("cat [1-6].out", "6"),
        ],
    ),
    (
        "attach",
        &[
            does(
                "docker run -di --name one box sh -c 'read x; echo got $x; echo bad >&2; sleep 0.3; exit 4'",
            ),
            exits(4, "{ sleep 0.2; echo hi; sleep 1; } | docker attach one"),
            shows("docker logs one", "got hi"),
        ],
    ),
    (
        "create, start, wait, remove",
        &[
            does("docker create --name one box sh -c 'echo started; exit 3'"),
            shows("docker inspect -f '{{.State.Status}} {{.State.Pid}}' one", "created 0"),
            does("docker start one"),
            shows("docker wait one", "3"),
            exits(3, "docker start -a one"),
            does("docker rm one"),
        ],
    ),
    (
        "stop",
        &[
            does(
                "docker run -d --name one box sh -c 'trap \"echo asked; exit 5\" TERM; echo up; while :; do sleep 0.1; done'",
            ),
            shows("await up docker logs one", "up"),
            does("docker stop one"),
            shows("docker logs one", "asked"),
            shows(
                "docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}' one",
                "exited 5 0",
            ),
        ],
    ),
    (
        "stop: in vain, then killed",
        &[
            does(
                "docker run -d --name one --stop-signal USR1 box sh -c 'trap \"echo no\" USR1; echo up; while :; do sleep 0.1; done'",
            ),
            shows("await up docker logs one", "up"),
            does("docker stop -t 3 one"),
            shows("docker logs one", "no"),
            shows("docker inspect -f '{{.State.ExitCode}}' one", "137"),
        ],
    ),
    (
        "kill: signals",
        &[
            does(
                "docker run -d --name one box sh -c 'for s in HUP USR1 USR2 WINCH; do trap \"echo $s\" $s; done; echo up; while :; do sleep 0.05; done'",
            ),
            shows("await up docker logs one", "up"),
            does("for s in HUP SIGUSR1 12 WINCH; do docker kill -s $s one; done"),
            shows("await 5 sh -c 'docker logs one | wc -l' && docker logs one", "USR2\nWINCH"),
            does("docker kill one"),
            shows("docker wait one", "137"),
            exits(1, "docker kill one"),
        ],
    ),
    (
        "restart",
        &[
            does("docker run -d --name one box sh -c 'date +%s%N; sleep 100'"),
            shows("await 1 sh -c 'docker logs one | wc -l'", "1"),
            does("docker restart -t 0 one"),
            shows("await 2 sh -c 'docker logs one | wc -l'", "2"),
            shows("docker inspect -f '{{.State.Status}}' one", "running"),
        ],
    ),
    (
        "restart: policy",
        &[
            does("docker run -d --name one --restart on-failure:2 box sh -c 'echo run; exit 1'"),
            shows("await 'exited 2' docker inspect -f '{{.State.Status}} {{.RestartCount}}' one", "exited 2"),
            shows("docker logs one | grep -c run", "3"),
        ],
    ),
    (
        "restart: after the first process was killed",
        &[
            does("docker run -d --name one --restart always box sleep 100"),
            does("kill -9 $(docker inspect -f '{{.State.Pid}}' one)"),
            shows(
                "await 'running 1' docker inspect -f '{{.State.Status}} {{.RestartCount}}' one",
                "running 1",
            ),
        ],
    ),
    (
        "the shim is killed",
        &[
            does("docker run -d --name one box sh -c 'sleep 60; true'"),
            does("pkill -9 -f '[c]ontainerd-shim-runc-v2 -namespace moby'"),
            shows("await exited docker inspect -f '{{.State.Status}}' one", "exited"),
            shows("await 0 sh -c \"ps -e -o args= | grep -c '^sleep 60'\"", "0"),
            does("docker start one"),
            shows("await 1 sh -c \"docker exec one ps -o args | grep -c '^sleep 60'\"", "1"),
        ],
    ),
    (
        "pause",
        &[
            // One that never rests does not let runc freeze it on a busy machine.
            does(
                "docker run -d --name one box sh -c 'i=0; while :; do i=$((i+1)); echo $i >/tmp/i; sleep 0.05; done'",
            ),
            shows("await yes docker exec one sh -c '[ -s /tmp/i ] && echo yes'", "yes"),
            shows("docker pause one", "one"),
            shows("docker inspect -f '{{.State.Status}} {{.State.Paused}}' one", "paused true"),
            exits(1, "docker exec one true"),
            shows(
                "a=$(docker cp one:/tmp/i - | md5sum); sleep 0.3; b=$(docker cp one:/tmp/i - | md5sum); [ \"$a\" = \"$b\" ] && echo stands still",
                "stands still",
            ),
            does("docker unpause one"),
            shows("docker inspect -f '{{.State.Status}}' one", "running"),
            does("docker pause one && docker kill one"),
        ],
    ),
    (
        "update",
        &[
            does("docker run -d --name one --memory 64m --memory-swap 64m box sleep 100"),
            shows("docker exec one limit memory pids cpu shares cpuset", "67108864"),
            does(
                "docker update --memory 32m --memory-swap 48m --cpus 0.5 --cpu-shares 512 --pids-limit 30 --cpuset-cpus 0 one",
            ),
            shows("docker exec one limit memory swap pids cpu shares cpuset", "33554432"),
            does("docker update --pids-limit -1 --restart always one"),
            shows("docker exec one limit pids", "max"),
        ],
    ),
    (
        "logs",
        &[
            does("docker run --name one box sh -c 'for i in 1 2 3; do echo out $i; echo bad $i >&2; done'"),
            shows("docker logs one 2>/dev/null", "out 3"),
            shows("docker logs one 2>&1 >/dev/null", "bad 3"),
            does("docker run -d --name two box sh -c 'for i in 1 2 3; do echo $i; sleep 0.1; done'"),
            shows("docker logs -f two", "3"),
            shows("docker logs --tail 1 two", "3"),
        ],
    ),
    (
        "top",
        &[
            does("docker run -d --name one box sh -c 'sleep 100; true'"),
            shows("await 1 sh -c \"docker exec one ps -o args | grep -c '^sleep 100'\"", "1"),
            shows("docker top one -o pid,args | cut -c21- | sort", "sleep 100"),
            shows("docker top one -o pid,user,comm | cut -c21- | sort", "root"),
        ],
    ),
    (
        "stats",
        &[
            does("docker run -d --name one --memory 64m box sh -c 'sleep 100; true'"),
            shows("await 1 sh -c \"docker exec one ps -o args | grep -c '^sleep 100'\"", "1"),
            shows(
                "docker stats --no-stream --format '{{.Name}} {{.PIDs}} {{.MemUsage}}' one | sed 's/[0-9.]*[KM]iB \\///'",
                "one 2  64MiB",
            ),
        ],
    ),
    (
        "healthcheck",
        &[
            does(
                "docker run -d --name one --health-interval 100ms --health-retries 1 --health-cmd 'test -e /tmp/well' box sh -c 'touch /tmp/well; sleep 100'",
            ),
            shows("await healthy docker inspect -f '{{.State.Health.Status}}' one", "healthy"),
            does("docker exec one rm /tmp/well"),
            shows("await unhealthy docker inspect -f '{{.State.Health.Status}}' one", "unhealthy"),
        ],
    ),
    (
        "init",
        &[
            shows("docker run --rm --init box ps -o args", "docker-init"),
            does("docker run -d --init --name one box sleep 100"),
            shows("await 1 sh -c \"docker exec one ps -o args | grep -c '^sleep 100'\"", "1"),
            does("docker stop one"),
            shows("docker inspect -f '{{.State.ExitCode}}' one", "143"),
        ],
    ),
];
