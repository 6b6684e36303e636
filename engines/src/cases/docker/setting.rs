// SPDX-License-Identifier: Apache-2.0
//! What a container is made with.

use crate::case::{does, exits, shows};
use crate::cases::Cases;

pub(crate) const CASES: Cases = &[
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
            shows(
                "docker run --rm -v $PWD/v:/v:rw,Z,delegated --mount type=bind,src=$PWD/v,dst=/w,bind-nonrecursive=true --mount type=volume,dst=/home,volume-nocopy=true box sh -c 'cat /v/file /w/file; ls /home | wc -l'",
                "text\ntext\n0",
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
                "docker run --rm --memory 64m --memory-swappiness 10 --oom-kill-disable box sh -c 'limit swappiness; head -n 1 /sys/fs/cgroup/memory/memory.oom_control'",
                "10",
            ),
            shows(
                "docker run --name one --memory 32m --memory-swap 32m --oom-score-adj 500 box sh -c 'cat /proc/self/oom_score_adj; tail -c 100m /dev/zero' | cat",
                "500",
            ),
            shows(
                "await 'true 137' docker inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' one",
                "true 137",
            ),
        ],
    ),
    (
        "limits: processes",
        &[
            // Below that runc has not always enough for its own threads.
            shows("docker run --rm --pids-limit 30 box limit pids", "30"),
            exits(
                2,
                "docker run --rm --pids-limit 30 box sh -c 'for i in $(seq 40); do sleep 30 & done; wait' 2>/dev/null",
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
        "a runtime beside the default one",
        &[
            does(
                "mkdir -p /etc/docker && echo '{\"runtimes\": {\"husk\": {\"path\": \"/tmp/engines/bin/husk-oci\"}}}' >/etc/docker/daemon.json && cp bin/runc bin/husk-oci && kill -HUP $(pidof dockerd)",
            ),
            shows(
                "await /tmp/engines/bin/husk-oci docker info -f '{{.Runtimes.husk.Path}}'",
                "/tmp/engines/bin/husk-oci",
            ),
            shows("docker run --runtime husk --rm box id", "uid=0(root)"),
            does("docker run --runtime husk -d --name one box sleep 100"),
            shows("docker exec one id && docker inspect -f '{{.HostConfig.Runtime}}' one", "husk"),
            does("docker restart -t 0 one"),
        ],
    ),
    (
        "cgroup parent",
        &[shows("docker run --rm --cgroup-parent /docker/group box cat /proc/self/cgroup", "/docker/group/")],
    ),
];
