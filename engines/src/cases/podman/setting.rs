// SPDX-License-Identifier: Apache-2.0
//! What a container is made with.

use crate::case::{does, exits, shows};
use crate::cases::Cases;

pub(crate) const CASES: Cases = &[
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
            shows(
                "podman run --rm -v $PWD/v:/v:rbind,rw,suid,dev,exec,rslave box grep ' /v ' /proc/self/mountinfo | sed 's/:[0-9]*//g' | cut -d' ' -f5-7",
                "/v rw",
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
            shows("podman run --rm --pids-limit 30 box limit pids", "30"),
            exits(
                2,
                "podman run --rm --pids-limit 30 box sh -c 'for i in $(seq 40); do sleep 30 & done; wait' 2>/dev/null",
            ),
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
        "under another name",
        &[
            does("cp bin/runc bin/husk-oci"),
            exits(127, "podman --runtime /tmp/engines/bin/husk-oci run --rm box no-such 2>/dev/null"),
            does(
                "podman --runtime /tmp/engines/bin/husk-oci --cgroup-manager cgroupfs run -d --name one box sleep 100",
            ),
            shows("podman inspect -f '{{.OCIRuntime}}' one", "/husk-oci"),
            shows("podman exec one id", "uid=0(root)"),
            does("podman stop -t 0 one && podman start one && podman rm -f -t 0 one"),
        ],
    ),
    ("for systemd", &[shows("podman run --rm --systemd always box look", "/sys/fs/cgroup/systemd")]),
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
];
