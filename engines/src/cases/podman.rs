// SPDX-License-Identifier: Apache-2.0
//! Podman.

use super::Cases;
use crate::case::{does, exits, shows};

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
        &[shows("terminal 'podman run --rm -it box sh' 'tty; stty size; echo $TERM' 'exit 3'", "status 3")],
    ),
    (
        "terminal: detach and attach",
        &[
            shows("terminal 'podman run -it --name one box sh' 'X=kept' 'key:C-p' 'key:C-q'", "status 0"),
            shows("podman inspect -f '{{.State.Status}}' one", "running"),
            shows("terminal 'podman attach one' 'key:Enter' 'echo $X' 'exit 4'", "kept"),
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
            shows("podman exec one ps -o args", "sleep 50"),
        ],
    ),
    (
        "exec: terminal",
        &[
            does("podman run -d --name one box sleep 100"),
            shows("terminal 'podman exec -it one sh' 'tty; stty size' 'exit 6'", "status 6"),
        ],
    ),
    (
        "attach",
        &[
            does(
                "podman run -di --name one box sh -c 'read x; echo got $x; echo bad >&2; sleep 0.3; exit 4'",
            ),
            shows("echo hi | podman attach one", "got hi"),
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
            does("for s in HUP SIGUSR1 12 WINCH; do podman kill -s $s one; sleep 0.2; done"),
            shows("podman logs one", "USR2\nWINCH"),
            does("podman kill one"),
            shows("podman wait one", "137"),
            exits(125, "podman kill one"),
        ],
    ),
    (
        "restart",
        &[
            does("podman run -d --name one box sh -c 'date +%s%N; sleep 100'"),
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
        "pause",
        &[
            does("podman run -d --name one box sh -c 'i=0; while :; do i=$((i+1)); echo $i >/tmp/i; done'"),
            shows("podman pause one", "one"),
            shows("podman inspect -f '{{.State.Status}} {{.State.Paused}}' one", "paused true"),
            exits(255, "podman exec one true"),
            does("podman unpause one"),
            shows("podman inspect -f '{{.State.Status}}' one", "running"),
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
            shows("podman top one user args | sort", "sleep 100"),
            shows("podman top one capeff seccomp state | sort", "filter"),
        ],
    ),
    (
        "stats",
        &[
            does("podman run -d --name one --memory 64m box sh -c 'sleep 100; true'"),
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
    ("privileged", &[shows("podman run --rm --privileged box look", "Seccomp:\t0")]),
    (
        "read-only",
        &[
            exits(1, "podman run --rm --read-only box touch /x"),
            shows("podman run --rm --read-only box sh -c 'touch /tmp/x /run/x && look'", "/tmp"),
            exits(1, "podman run --rm --read-only --read-only-tmpfs=false box touch /tmp/x"),
        ],
    ),
    (
        "capabilities",
        &[
            shows("podman run --rm --cap-add net_admin,SYS_TIME box grep Cap /proc/self/status", "CapEff"),
            shows(
                "podman run --rm --cap-drop all box grep Cap /proc/self/status",
                "CapEff:\t0000000000000000",
            ),
            shows("podman run --rm --cap-add net_raw -u ana box grep Cap /proc/self/status", "CapAmb"),
            exits(1, "podman run --rm --cap-drop chown box chown 5 /data"),
        ],
    ),
    (
        "devices",
        &[
            shows("podman run --rm --device /dev/null:/dev/nothing box look", "/dev/nothing"),
            exits(1, "podman run --rm --device /dev/kmsg:/dev/log:r box sh -c ': >/dev/log'"),
            shows(
                "podman run --rm --device /dev/kmsg:/dev/log:w --device-cgroup-rule 'c 10:229 rwm' box sh -c ': >/dev/log; limit devices'",
                "c 10:229 rwm",
            ),
        ],
    ),
    (
        "volumes",
        &[
            does("mkdir -p v && echo text >v/file && chown 1000 v/file"),
            shows(
                "podman run --rm -v $PWD/v:/v box sh -c 'cat /v/file; echo new >/v/new; grep \" /v \" /proc/self/mountinfo | cut -d\" \" -f5-7'",
                "text",
            ),
            exits(1, "podman run --rm -v $PWD/v:/v:ro box sh -c 'echo x >/v/file'"),
            shows(
                "podman run --rm -v $PWD/v:/v:noexec,nodev,nosuid,z box grep ' /v ' /proc/self/mountinfo | cut -d' ' -f5-6",
                "noexec",
            ),
            shows("podman run --rm -v $PWD/v:/v:O box sh -c 'echo over >/v/file; cat /v/file'", "over"),
            shows("cat v/file", "text"),
            shows("podman run --rm -u ana -v $PWD/v:/v:U box stat -c '%u %n' /v /v/new", "1000 /v/new"),
            shows(
                "podman run --rm -v $PWD/v/file:/etc/motd:ro -v $PWD/v:/deep/er/v box sh -c 'cat /etc/motd /deep/er/v/file'",
                "text",
            ),
            shows(
                "podman run --rm --mount type=bind,src=$PWD/v,dst=/v,ro=true,bind-propagation=rslave box grep ' /v ' /proc/self/mountinfo | sed 's/:[0-9]*//g' | cut -d' ' -f5-7",
                "ro,",
            ),
            exits(125, "podman run --rm -v $PWD/nowhere:/v box true"),
        ],
    ),
    (
        "volumes: propagation",
        &[
            does("mkdir -p p && mount -t tmpfs p p && mount --make-shared p && mkdir -p p/sub"),
            does(
                "for mode in private rprivate slave rslave shared rshared; do podman run --rm -v $PWD/p:/p:$mode box sh -c 'grep \" /p \" /proc/self/mountinfo | sed \"s/:[0-9]*//g\" | cut -d\" \" -f5-8'; done",
            ),
            does("podman run -d --name one -v $PWD/p:/p:rslave box sleep 100"),
            does("mount -t tmpfs later p/sub && touch p/sub/arrived"),
            shows("podman exec one ls /p/sub", "arrived"),
            does("umount p/sub; podman rm -f -t 0 one; umount -l p"),
        ],
    ),
    (
        "volumes: named",
        &[
            does("podman volume create data"),
            shows("podman run --rm -v data:/home box ls /home", "ana"),
            does("podman run -d --name one -v data:/home -v /anonymous box sleep 100"),
            shows(
                "podman run --rm --volumes-from one:ro box sh -c 'ls /home; touch /home/y || echo read-only'",
                "read-only",
            ),
            does("podman rm -f -t 0 -v one && podman volume rm data"),
        ],
    ),
    (
        "volumes: by id map",
        &[shows(
            "mkdir -p i && touch i/file && podman run --rm --uidmap 0:100000:65536 -v $PWD/i:/i:idmap box stat -c '%u %n' /i/file",
            "0 /i/file",
        )],
    ),
    (
        "tmpfs",
        &[shows(
            "podman run --rm --tmpfs /t:size=1m,mode=700,exec --mount type=tmpfs,dst=/u,tmpfs-size=65536,tmpfs-mode=1770 --shm-size 2m box sh -c 'grep -E \" (/t|/u|/dev/shm) \" /proc/self/mountinfo | cut -d\" \" -f5-6,8- | sort; stat -c \"%a %u %n\" /t /u'",
            "size=1024k",
        )],
    ),
    (
        "tmpfs: begins with what lies below",
        &[
            shows("podman run --rm --tmpfs /home box ls /home", "ana"),
            shows(
                "podman run --rm --mount type=tmpfs,dst=/home,notmpcopyup box sh -c 'ls /home | wc -l'",
                "0",
            ),
        ],
    ),
    (
        "user",
        &[
            shows("podman run --rm -u ana box id", "groups=10(wheel),1000(ana)"),
            shows("podman run --rm -u 1234:5678 --group-add 10 --group-add 77 box id", "uid=1234"),
            exits(126, "podman run --rm -u nobody-knows box true"),
        ],
    ),
    (
        "user namespace",
        &[
            shows(
                "podman run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 box look",
                "100000      65536",
            ),
            does("podman run -d --name one --uidmap 0:100000:65536 box sleep 100"),
            shows("outside $(podman inspect -f '{{.State.Pid}}' one)", "user its own"),
            shows("podman exec one sh -c 'id; grep Cap /proc/self/status'", "uid=0(root)"),
            shows("podman run --rm --userns container:one box cat /proc/self/uid_map", "100000"),
        ],
    ),
    (
        "user namespace: auto",
        &[shows(
            "echo containers:200000:200000 >>/etc/subuid; echo containers:200000:200000 >>/etc/subgid; podman run --rm --userns auto:size=2000 box cat /proc/self/uid_map",
            "200000       2000",
        )],
    ),
    (
        "namespaces: the host's",
        &[
            does(
                "podman run -d --name one --pid host --ipc host --net host --uts host --cgroupns host box sleep 100",
            ),
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
            shows(
                "for kind in pid ipc net mnt uts; do [ $(readlink /proc/$(podman inspect -f '{{.State.Pid}}' one)/ns/$kind) = $(readlink /proc/$(podman inspect -f '{{.State.Pid}}' two)/ns/$kind) ] && echo $kind shared || echo $kind not; done",
                "net shared",
            ),
            shows("podman exec two ps -o args | sort", "sleep 100"),
            does("podman rm -f -t 0 two"),
        ],
    ),
    (
        "namespaces: own",
        &[
            does("podman run -d --name one --cgroupns private --ipc none box sleep 100"),
            shows("outside $(podman inspect -f '{{.State.Pid}}' one)", "cgroup its own"),
            shows("podman exec one cat /proc/self/cgroup", ":memory:/"),
            shows("podman run --rm --network ns:/proc/1/ns/net box ip -o link | wc -l", "1"),
        ],
    ),
    (
        "limits: memory",
        &[
            shows(
                "podman run --rm --memory 64m --memory-reservation 32m --memory-swap 128m --memory-swappiness 10 box limit memory reservation swap swappiness",
                "67108864",
            ),
            shows(
                "podman run --name one --memory 32m --memory-swap 32m --oom-score-adj 500 box sh -c 'cat /proc/self/oom_score_adj; tail -c 100m /dev/zero' | cat; podman inspect -f '{{.State.ExitCode}}' one",
                "137",
            ),
        ],
    ),
    (
        "limits: processes and processors",
        &[
            shows("podman run --rm --pids-limit 5 box limit pids", "5"),
            shows(
                "podman run --rm --cpus 0.5 --cpu-shares 512 --cpuset-cpus 1 --cpuset-mems 0 box limit cpu shares cpuset",
                "50000",
            ),
            does("podman run --rm --blkio-weight 300 box limit weight"),
        ],
    ),
    (
        "limits: ulimit",
        &[shows(
            "podman run --rm --ulimit nofile=100:200 --ulimit core=0:0 --ulimit nproc=50:50 box sh -c 'tail -n +2 /proc/self/limits'",
            "100",
        )],
    ),
    (
        "seccomp",
        &[
            shows(
                "podman run --rm --security-opt seccomp=unconfined box grep Seccomp: /proc/self/status",
                "Seccomp:\t0",
            ),
            exits(1, "podman run --rm box unshare -m true"),
            does(
                "echo '{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"mkdir\",\"mkdirat\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":28},{\"names\":[\"symlink\",\"symlinkat\"],\"action\":\"SCMP_ACT_KILL_PROCESS\"}]}' >profile.json",
            ),
            exits(1, "podman run --rm --security-opt seccomp=$PWD/profile.json box mkdir /x"),
            exits(159, "podman run --rm --security-opt seccomp=$PWD/profile.json box ln -s one two"),
        ],
    ),
    (
        "security options",
        &[
            shows(
                "podman run --rm --security-opt no-new-privileges -u ana box grep -E 'NoNewPrivs|Cap|Seccomp' /proc/self/status",
                "NoNewPrivs:\t1",
            ),
            shows(
                "podman run --rm --security-opt mask=/data --security-opt unmask=/proc/kcore:/proc/keys box sh -c 'ls /data | wc -l; grep -c \" /proc/keys \" /proc/self/mountinfo; true'",
                "0\n0",
            ),
            shows(
                "podman run --rm --security-opt unmask=ALL box sh -c 'grep -c \" /proc/[a-z]\" /proc/self/mountinfo; true'",
                "0",
            ),
            shows(
                "podman run --rm --security-opt proc-opts=hidepid=2 box grep ' /proc ' /proc/mounts",
                "hidepid",
            ),
        ],
    ),
    (
        "sysctl",
        &[
            shows(
                "podman run --rm --sysctl net.ipv4.ip_unprivileged_port_start=0 --sysctl kernel.msgmax=4096 box cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax",
                "4096",
            ),
            exits(125, "podman run --rm --sysctl kernel.pid_max=99 box true"),
        ],
    ),
    (
        "cgroup parent",
        &[shows(
            "podman run --rm --cgroup-parent /libpod_parent/group box cat /proc/self/cgroup",
            "/libpod_parent/group/",
        )],
    ),
    (
        "secrets",
        &[
            does("echo hush | podman secret create word -"),
            shows(
                "podman run --rm --secret word,mode=0400 box sh -c 'cat /run/secrets/word; stat -c %a /run/secrets/word'",
                "hush",
            ),
            does("podman secret rm word"),
        ],
    ),
    (
        "hooks",
        &[
            does(
                "mkdir -p h && printf '#!/bin/sh\\ncat >/tmp/engines/hook.$1\\n' >h/hook && chmod 755 h/hook",
            ),
            does(
                "for stage in prestart createRuntime createContainer startContainer poststart poststop; do printf '{\"version\":\"1.0.0\",\"hook\":{\"path\":\"%s\",\"args\":[\"hook\",\"%s\"]},\"when\":{\"always\":true},\"stages\":[\"%s\"]}' $PWD/h/hook $stage $stage >h/$stage.json; done; rm h/startContainer.json",
            ),
            does("podman --hooks-dir $PWD/h run --rm box true"),
            shows(
                "for stage in prestart createRuntime createContainer poststart poststop; do echo $stage $(sed 's/.*\"status\": *\"\\([a-z]*\\)\".*/\\1/' hook.$stage); done",
                "poststop stopped",
            ),
            does(
                "printf '#!/bin/sh\\necho refused >&2; exit 3\\n' >h/hook && rm h/poststop.json h/poststart.json",
            ),
            exits(126, "podman --hooks-dir $PWD/h run --rm box true"),
        ],
    ),
    (
        "pods",
        &[
            does("podman pod create --name group --network none"),
            does("podman run -d --pod group --name one box sh -c 'ip link; sleep 100'"),
            does("podman run -d --pod group --name two --memory 32m box sleep 99"),
            shows(
                "podman pod ps --format '{{.Name}} {{.Status}} {{.NumberOfContainers}}'",
                "group Running 3",
            ),
            shows(
                "for kind in pid ipc net mnt uts; do [ $(readlink /proc/$(podman inspect -f '{{.State.Pid}}' one)/ns/$kind) = $(readlink /proc/$(podman inspect -f '{{.State.Pid}}' two)/ns/$kind) ] && echo $kind shared || echo $kind not; done",
                "net shared",
            ),
            does("podman pod pause group"),
            shows(
                "podman ps -a --format '{{.Names}} {{.Status}}' | grep -v infra | sed 's/ (.*//' | sort",
                "one Paused",
            ),
            does("podman pod unpause group && podman pod stop -t 0 group && podman pod start group"),
            shows("podman pod top group args | sort", "sleep 99"),
            does("podman pod rm -f -t 0 group"),
        ],
    ),
    (
        "play kube",
        &[
            does(
                "cat >kube.yml <<'END'\napiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  hostNetwork: true\n  containers:\n  - name: main\n    image: localhost/box:latest\n    imagePullPolicy: Never\n    command: [sh, -c, 'id; sleep 100']\n    securityContext: {runAsUser: 1000, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}\n    resources: {limits: {memory: 64Mi, cpu: 500m}}\nEND",
            ),
            does("podman play kube kube.yml"),
            shows(
                "podman exec web-main sh -c 'id; grep -E \"CapEff|NoNewPrivs\" /proc/self/status; limit memory cpu; touch /x; true'",
                "uid=1000(ana)",
            ),
            does("podman play kube --down kube.yml"),
        ],
    ),
    (
        "copy, differences, commit",
        &[
            does("podman run -d --name one box sh -c 'echo x >/tmp/x; sleep 100'"),
            does("echo in >in.txt && podman cp in.txt one:/data/in.txt"),
            shows("podman exec one cat /data/in.txt", "in"),
            shows("podman diff one | sort", "A /tmp/x"),
            shows("podman commit -q one made >/dev/null && podman run --rm made cat /tmp/x", "x"),
            does("podman rmi made"),
        ],
    ),
    (
        "build",
        &[
            does(
                "mkdir -p b && printf 'FROM localhost/box\\nENV B=2\\nRUN echo $B >/made && look\\nUSER ana\\nRUN id\\n' >b/Dockerfile",
            ),
            shows("podman build --no-cache --network none -t built b | grep -v buildah", "uid=1000(ana)"),
            exits(3, "printf 'FROM localhost/box\\nRUN exit 3\\n' | podman build --network none -"),
            shows("podman run --rm built cat /made", "2"),
            does("podman rmi built"),
        ],
    ),
];
