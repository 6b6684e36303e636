// SPDX-License-Identifier: Apache-2.0
//! Docker.

use super::Cases;
use crate::case::{does, exits, shows};

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
        &[shows("terminal 'docker run --rm -it box sh' 'tty; stty size; echo $TERM' 'exit 3'", "status 3")],
    ),
    (
        "terminal: inside",
        &[shows(
            "terminal 'docker run --rm -it box sh' 'ls -l /dev/console; grep -c console /proc/self/mountinfo' 'readlink /proc/self/fd/0' 'exit'",
            "console",
        )],
    ),
    (
        "terminal: resized",
        &[shows(
            "terminal 'docker run --rm -it box sh' 'trap \"stty size\" WINCH' 'key:C-l' 'stty size' 'exit'",
            "24 80",
        )],
    ),
    (
        "terminal: detach and attach",
        &[
            shows("terminal 'docker run -it --name one box sh' 'X=kept' 'key:C-p' 'key:C-q'", "status 0"),
            shows("docker inspect -f '{{.State.Status}}' one", "running"),
            shows("terminal 'docker attach one' 'key:Enter' 'echo $X' 'exit 4'", "status 4"),
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
            shows("docker exec one ps -o args", "sleep 50"),
        ],
    ),
    (
        "exec: terminal",
        &[
            does("docker run -d --name one box sleep 100"),
            shows("terminal 'docker exec -it one sh' 'tty; stty size' 'exit 6'", "status 6"),
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
            exits(4, "echo hi | docker attach one"),
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
            does("docker stop -t 1 one"),
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
            does("for s in HUP SIGUSR1 12 WINCH; do docker kill -s $s one; sleep 0.2; done"),
            shows("docker logs one", "USR2\nWINCH"),
            does("docker kill one"),
            shows("docker wait one", "137"),
            exits(1, "docker kill one"),
        ],
    ),
    (
        "restart",
        &[
            does("docker run -d --name one box sh -c 'date +%s%N; sleep 100'"),
            does("docker restart -t 0 one"),
            shows("docker logs one | wc -l", "2"),
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
        "pause",
        &[
            does("docker run -d --name one box sh -c 'i=0; while :; do i=$((i+1)); echo $i >/tmp/i; done'"),
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
            shows("docker top one -o pid,args | cut -c21- | sort", "sleep 100"),
            shows("docker top one -o pid,user,comm | cut -c21- | sort", "root"),
        ],
    ),
    (
        "stats",
        &[
            does("docker run -d --name one --memory 64m box sh -c 'sleep 100; true'"),
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
            does("docker stop one"),
            shows("docker inspect -f '{{.State.ExitCode}}' one", "143"),
        ],
    ),
    ("privileged", &[shows("docker run --rm --privileged box look", "Seccomp:\t0")]),
    (
        "read-only",
        &[
            exits(1, "docker run --rm --read-only box touch /x"),
            shows("docker run --rm --read-only --tmpfs /tmp box sh -c 'touch /tmp/x && look'", "/tmp"),
        ],
    ),
    (
        "capabilities",
        &[
            shows(
                "docker run --rm --cap-add net_admin --cap-add SYS_TIME box grep Cap /proc/self/status",
                "CapEff",
            ),
            shows(
                "docker run --rm --cap-drop all box grep Cap /proc/self/status",
                "CapEff:\t0000000000000000",
            ),
            shows(
                "docker run --rm --cap-drop all --cap-add chown -u ana box grep Cap /proc/self/status",
                "CapEff:\t0000000000000000",
            ),
            exits(1, "docker run --rm --cap-drop chown box chown 5 /data"),
        ],
    ),
    ("capabilities: all", &[shows("docker run --rm --cap-add all box grep Cap /proc/self/status", "CapEff")]),
    (
        "devices",
        &[
            shows("docker run --rm --device /dev/null:/dev/nothing box look", "/dev/nothing"),
            exits(1, "docker run --rm --device /dev/kmsg:/dev/log:r box sh -c ': >/dev/log'"),
            shows(
                "docker run --rm --device /dev/kmsg:/dev/log:w --device-cgroup-rule 'c 10:229 rwm' box sh -c ': >/dev/log; limit devices'",
                "c 10:229 rwm",
            ),
            exits(1, "docker run --rm --cap-add mknod box sh -c 'mknod /tmp/d b 7 0; cat /tmp/d'"),
        ],
    ),
    (
        "volumes",
        &[
            does("mkdir -p v && echo text >v/file"),
            shows(
                "docker run --rm -v $PWD/v:/v box sh -c 'cat /v/file; echo new >/v/new; grep \" /v \" /proc/self/mountinfo | cut -d\" \" -f5-7'",
                "text",
            ),
            shows("cat v/new", "new"),
            exits(1, "docker run --rm -v $PWD/v:/v:ro box sh -c 'echo x >/v/file'"),
            shows(
                "docker run --rm -v $PWD/v/file:/etc/motd:ro -v $PWD/v:/deep/er/v box sh -c 'cat /etc/motd /deep/er/v/file'",
                "text",
            ),
            shows("docker run --rm -v $PWD/absent:/v:z box ls -ld /v | cut -c1-10", "drwx"),
            shows(
                "docker run --rm --mount type=bind,src=$PWD/v,dst=/v,readonly,bind-propagation=rprivate box grep ' /v ' /proc/self/mountinfo | cut -d' ' -f5-6",
                "ro,",
            ),
            exits(125, "docker run --rm --mount type=bind,src=$PWD/nowhere,dst=/v box true"),
        ],
    ),
    (
        "volumes: propagation",
        &[
            does("mkdir -p p && mount -t tmpfs p p && mount --make-shared p && mkdir -p p/sub"),
            does(
                "for mode in private rprivate slave rslave shared rshared; do docker run --rm -v $PWD/p:/p:$mode box sh -c 'grep \" /p \" /proc/self/mountinfo | sed \"s/:[0-9]*//g\" | cut -d\" \" -f5-8'; done",
            ),
            does("docker run -d --name one -v $PWD/p:/p:rslave box sleep 100"),
            does("mount -t tmpfs later p/sub && touch p/sub/arrived"),
            shows("docker exec one ls /p/sub", "arrived"),
            does("umount p/sub; docker rm -f one; umount -l p"),
        ],
    ),
    (
        "volumes: shared outwards",
        &[
            does("mkdir -p p && mount -t tmpfs p p && mount --make-shared p && mkdir -p p/sub"),
            does(
                "docker run --rm --cap-add sys_admin --security-opt apparmor=unconfined -v $PWD/p:/p:rshared box sh -c 'mount -t tmpfs inner /p/sub && touch /p/sub/out'",
            ),
            shows("ls p/sub", "out"),
            does("umount -R -l p"),
        ],
    ),
    (
        "volumes: named",
        &[
            does("docker volume create data"),
            shows("docker run --rm -v data:/home box ls /home", "ana"),
            shows("docker run --rm -v data:/home:nocopy box sh -c 'echo x >/home/x; ls /home'", "x"),
            does("docker run -d --name one -v data:/home -v /anonymous box sleep 100"),
            shows(
                "docker run --rm --volumes-from one:ro box sh -c 'ls /home; touch /home/y || echo read-only'",
                "read-only",
            ),
            does("docker rm -fv one && docker volume rm data"),
        ],
    ),
    (
        "tmpfs",
        &[shows(
            "docker run --rm --tmpfs /t:size=1m,mode=700,uid=1000,exec --mount type=tmpfs,dst=/u,tmpfs-size=65536,tmpfs-mode=1770 --shm-size 2m box sh -c 'grep -E \" (/t|/u|/dev/shm) \" /proc/self/mountinfo | cut -d\" \" -f5-6,8- | sort; stat -c \"%a %u %n\" /t /u'",
            "size=1024k",
        )],
    ),
    (
        "user",
        &[
            shows("docker run --rm -u ana box id", "groups=10(wheel),1000(ana)"),
            shows("docker run --rm -u 1234:5678 --group-add 10 --group-add 77 box id", "uid=1234 gid=5678"),
            shows("docker run --rm -u ana box look", "Groups:"),
            exits(125, "docker run --rm -u nobody-knows box true"),
        ],
    ),
    (
        "namespaces: the host's",
        &[
            does("docker run -d --name one --pid host --ipc host --net host --uts host box sleep 100"),
            shows("outside $(docker inspect -f '{{.State.Pid}}' one)", "pid the world's"),
            shows("docker exec one hostname", "engines"),
            shows("docker run --rm --pid host box ps | grep -c '[d]ockerd'", "1"),
        ],
    ),
    (
        "namespaces: another container's",
        &[
            does("docker run -d --name one --ipc shareable box sleep 100"),
            does(
                "docker run -d --name two --pid container:one --ipc container:one --net container:one box sleep 99",
            ),
            shows(
                "for kind in pid ipc net mnt uts; do [ $(readlink /proc/$(docker inspect -f '{{.State.Pid}}' one)/ns/$kind) = $(readlink /proc/$(docker inspect -f '{{.State.Pid}}' two)/ns/$kind) ] && echo $kind shared || echo $kind not; done",
                "net shared",
            ),
            shows("docker exec two ps -o args | sort", "sleep 100"),
            does("docker kill one; docker wait two"),
        ],
    ),
    (
        "namespaces: own",
        &[
            does("docker run -d --name one --cgroupns private box sleep 100"),
            shows("outside $(docker inspect -f '{{.State.Pid}}' one)", "cgroup its own"),
            shows("docker exec one cat /proc/self/cgroup", ":memory:/"),
            shows(
                "docker run --rm --net none --ipc none box sh -c 'ip link | grep -c mtu; ls -d /dev/shm; cat /proc/self/cgroup'",
                "1",
            ),
        ],
    ),
    (
        "network",
        &[
            shows("docker run --rm box ip -o -4 addr | cut -c1-40", "172.30.7.2"),
            does("docker network create --subnet 172.30.8.0/24 inner"),
            does(
                "docker run -d --name one --network inner --ip 172.30.8.9 --add-host there:10.0.0.1 --dns 10.0.0.2 box sleep 100",
            ),
            shows(
                "docker exec one sh -c 'ip -o -4 addr; cat /etc/hosts /etc/resolv.conf' | cut -c1-60",
                "172.30.8.9",
            ),
            does("docker network connect bridge one"),
            shows("docker exec one ip -o -4 addr | cut -c1-40", "172.30.7"),
            does("docker rm -f one; docker network rm inner"),
        ],
    ),
    (
        "limits: memory",
        &[
            shows(
                "docker run --rm --memory 64m --memory-reservation 32m --memory-swap 128m box limit memory reservation swap",
                "67108864",
            ),
            shows(
                "docker run --name one --memory 32m --memory-swap 32m --oom-score-adj 500 box sh -c 'cat /proc/self/oom_score_adj; tail -c 100m /dev/zero' | cat; docker inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' one",
                "true 137",
            ),
        ],
    ),
    (
        "limits: processes",
        &[
            shows("docker run --rm --pids-limit 5 box limit pids", "5"),
            exits(
                2,
                "docker run --rm --pids-limit 3 box sh -c 'for i in 1 2 3 4 5; do sleep 1 & done; wait' 2>/dev/null",
            ),
        ],
    ),
    (
        "limits: processors",
        &[
            shows(
                "docker run --rm --cpus 0.5 --cpu-shares 512 --cpuset-cpus 1 --cpuset-mems 0 box limit cpu shares cpuset",
                "50000",
            ),
            shows("docker run --rm --cpu-period 20000 --cpu-quota 5000 box limit cpu", "5000"),
        ],
    ),
    ("limits: input and output", &[shows("docker run --rm --blkio-weight 300 box limit weight", "")]),
    (
        "limits: ulimit",
        &[
            shows(
                "docker run --rm --ulimit nofile=100:200 --ulimit core=0 --ulimit nproc=50 box sh -c 'tail -n +2 /proc/self/limits'",
                "100",
            ),
            exits(125, "docker run --rm --ulimit nofile=300:200 box true"),
        ],
    ),
    (
        "seccomp",
        &[
            shows(
                "docker run --rm --security-opt seccomp=unconfined box grep Seccomp: /proc/self/status",
                "Seccomp:\t0",
            ),
            exits(1, "docker run --rm box unshare -m true"),
            does(
                "echo '{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"mkdir\",\"mkdirat\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":28},{\"names\":[\"symlink\",\"symlinkat\"],\"action\":\"SCMP_ACT_KILL_PROCESS\"}]}' >profile.json",
            ),
            exits(1, "docker run --rm --security-opt seccomp=$PWD/profile.json box mkdir /x"),
            exits(159, "docker run --rm --security-opt seccomp=$PWD/profile.json box ln -s one two"),
        ],
    ),
    (
        "no new privileges",
        &[shows(
            "docker run --rm --security-opt no-new-privileges -u ana box grep -E 'NoNewPrivs|Cap|Seccomp' /proc/self/status",
            "NoNewPrivs:\t1",
        )],
    ),
    (
        "masked paths",
        &[shows(
            "docker run --rm --security-opt systempaths=unconfined box grep -cE ' /proc/(keys|bus|sys)' /proc/self/mountinfo || echo none",
            "0",
        )],
    ),
    (
        "sysctl",
        &[
            shows(
                "docker run --rm --sysctl net.ipv4.ip_unprivileged_port_start=0 --sysctl kernel.msgmax=4096 --sysctl net.core.somaxconn=99 box cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax /proc/sys/net/core/somaxconn",
                "4096",
            ),
            exits(125, "docker run --rm --sysctl kernel.pid_max=99 box true"),
        ],
    ),
    (
        "cgroup parent",
        &[shows("docker run --rm --cgroup-parent /docker/group box cat /proc/self/cgroup", "/docker/group/")],
    ),
    (
        "copy, differences, export",
        &[
            does("docker run -d --name one box sh -c 'echo x >/tmp/x; sleep 100'"),
            does("echo in >in.txt && docker cp in.txt one:/data/in.txt"),
            shows("docker exec one cat /data/in.txt", "in"),
            shows("docker cp one:/tmp/x - | tar -xO", "x"),
            shows("docker diff one | sort", "A /tmp/x"),
            shows("docker commit one made >/dev/null && docker run --rm made cat /tmp/x", "x"),
            does("docker rmi made"),
        ],
    ),
    (
        "build",
        &[
            does(
                "mkdir -p b && printf 'FROM box\\nARG A=1\\nENV B=2\\nRUN echo $A $B >/made && look\\nUSER ana\\nWORKDIR /home/ana\\nRUN id && touch here\\nENTRYPOINT [\"cat\",\"/made\"]\\n' >b/Dockerfile",
            ),
            shows("DOCKER_BUILDKIT=0 docker build --no-cache --force-rm -t built b", "uid=1000(ana)"),
            shows("docker run --rm built", "1 2"),
            exits(3, "printf 'FROM box\\nRUN exit 3\\n' | DOCKER_BUILDKIT=0 docker build --force-rm -"),
            does("docker rmi built"),
        ],
    ),
    (
        "build: BuildKit",
        &[
            does(
                "mkdir -p k && printf 'FROM box\\nRUN look >/seen\\nRUN --mount=type=tmpfs,target=/t --mount=type=cache,target=/c touch /t/x /c/x && id >/made\\n' >k/Dockerfile",
            ),
            does("DOCKER_BUILDKIT=1 docker build --no-cache -q -t built k >/dev/null"),
            shows("docker run --rm built cat /made", "uid=0(root)"),
            shows("docker run --rm built cat /seen", "mounts"),
            exits(1, "printf 'FROM box\\nRUN exit 3\\n' | DOCKER_BUILDKIT=1 docker build -q - 2>/dev/null"),
            does("docker rmi built"),
        ],
    ),
    (
        "compose",
        &[
            does(
                "mkdir -p c && cat >c/docker-compose.yml <<'END'\nversion: '2.4'\nservices:\n  one:\n    image: box\n    network_mode: none\n    command: sh -c 'echo one >/shared/one; sleep 100'\n    volumes: ['data:/shared']\n    mem_limit: 32m\n    healthcheck: {test: 'test -e /shared/one', interval: 0.2s}\n  two:\n    image: box\n    network_mode: none\n    depends_on: {one: {condition: service_healthy}}\n    command: sh -c 'cat /shared/one; exit 3'\n    volumes: ['data:/shared']\nvolumes: {data: {}}\nEND",
            ),
            does("docker-compose --no-ansi -p group -f c/docker-compose.yml up -d 2>/dev/null"),
            shows(
                "await 3 docker inspect -f '{{.State.ExitCode}}' group_two_1 && docker logs group_two_1",
                "one",
            ),
            shows("docker-compose -p group -f c/docker-compose.yml exec -T one limit memory", "33554432"),
            does("docker-compose -p group -f c/docker-compose.yml down -v -t 0 2>/dev/null"),
            shows("docker ps -aq | wc -l", "0"),
        ],
    ),
];
