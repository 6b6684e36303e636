// SPDX-License-Identifier: Apache-2.0
//! containerd by `ctr`: the calls of its shim, which are those of a kubelet too.

use super::Cases;
use crate::case::{does, exits, shows};

pub(crate) const CASES: Cases = &[
    ("run", &[shows("run --rm one look", "mounts")]),
    ("run: exit status", &[exits(7, "run --rm one sh -c 'exit 7'")]),
    ("run: no such command", &[exits(1, "run --rm one no-such")]),
    (
        "run: standard input",
        &[shows("echo hello | run --rm one sh -c 'read line; echo got $line'", "got hello")],
    ),
    ("terminal", &[shows("terminal 'run --rm -t one sh' 'tty; size' 'exit 3'", "status 3")]),
    (
        "life",
        &[
            // As many processes at any time.
            does("run -d one sh -c 'trap \"exit 5\" TERM; sleep 100 & : >/tmp/up; wait'"),
            does("until ctr task exec --exec-id u$$ one test -e /tmp/up; do sleep 0.1; done"),
            shows("ctr task ls | awk '{ print $1, $3 }'", "one RUNNING"),
            does("ctr task pause one"),
            shows("ctr task ls | awk '{ print $1, $3 }'", "one PAUSED"),
            does("ctr task resume one"),
            shows("ctr task metrics one | grep -E 'pids.current|limit'", "pids"),
            shows("ctr task ps one | wc -l", ""),
            does("ctr task kill -s 15 one"),
            shows("await STOPPED sh -c \"ctr task ls | awk '/^one/ { print \\$3 }'\"", "STOPPED"),
            exits(5, "ctr task rm one 2>/dev/null; exit 5"),
        ],
    ),
    (
        "attach",
        &[
            shows("terminal \"run -d -t one sh -c 'read x; tty; echo got \\$x; exit 3'\"", "status 0"),
            shows("terminal 'ctr task attach one' key:h key:i key:Enter", "got hi\nstatus 3"),
        ],
    ),
    (
        "kill: signals",
        &[
            does(
                "run -d one sh -c 'for s in HUP USR1 WINCH; do trap \"echo $s >>/tmp/got\" $s; done; touch /tmp/up; while :; do sleep 0.05; done'",
            ),
            does("until ctr task exec --exec-id u$$ one test -e /tmp/up; do sleep 0.1; done"),
            does("for s in HUP USR1 28; do ctr task kill -s $s one; done"),
            shows(
                "await \"$(printf 'HUP\\nUSR1\\nWINCH')\" sh -c 'ctr task exec --exec-id e$$ one cat /tmp/got'",
                "HUP\nUSR1\nWINCH",
            ),
        ],
    ),
    (
        "the shim is killed",
        &[
            does("run -d one sleep 60"),
            does("pkill -9 -f '[c]ontainerd-shim-runc-v2 -namespace default'"),
            shows("await 0 sh -c \"ps -e -o args= | grep -c '^sleep 60'\"", "0"),
        ],
    ),
    (
        "kill: all",
        &[
            does("run -d one sh -c 'sleep 100 & sleep 101'"),
            does("ctr task kill -a -s 9 one"),
            shows("await STOPPED sh -c \"ctr task ls | awk '/^one/ { print \\$3 }'\"", "STOPPED"),
            shows("ps -e -o args= | grep -c '^sleep 10[01]'; true", "0"),
        ],
    ),
    (
        "exec",
        &[
            does("run -d one sleep 100"),
            shows("ctr task exec --exec-id e1 one look", "mounts"),
            exits(5, "ctr task exec --exec-id e2 one sh -c 'exit 5'"),
            exits(1, "ctr task exec --exec-id e3 one no-such"),
            shows("ctr task exec --exec-id e4 --cwd /data --user 1000 one sh -c 'id; pwd'", "uid=1000(ana)"),
            shows("terminal 'ctr task exec -t --exec-id e5 one sh' 'tty' 'exit 6'", "status 6"),
            does("ctr task exec -d --exec-id e6 one sleep 50"),
            shows(
                "await 1 sh -c \"ctr task exec --exec-id p\\$\\$ one ps -o args | grep -c 'sleep 5[0]'\"",
                "1",
            ),
        ],
    ),
    (
        "kubelet: a pod",
        &[
            does("run -d --cgroup=/default/kubepods/burstable/pod1/pause pause sleep 1000"),
            does(
                "pid=$(ctr task ls | awk '/^pause/ { print $2 }'); run -d --cgroup=/default/kubepods/burstable/pod1/one --with-ns=network:/proc/$pid/ns/net --with-ns=ipc:/proc/$pid/ns/ipc --with-ns=uts:/proc/$pid/ns/uts --with-ns=pid:/proc/$pid/ns/pid one sleep 100",
            ),
            shows("ctr task exec --exec-id e1 one sh -c 'ps -o args; cat /proc/self/cgroup'", "sleep 1000"),
            shows(
                "for kind in pid ipc net mnt uts cgroup; do [ $(readlink /proc/$(ctr task ls | awk '/^pause/ { print $2 }')/ns/$kind) = $(readlink /proc/$(ctr task ls | awk '/^one/ { print $2 }')/ns/$kind) ] && echo $kind shared || echo $kind not; done",
                "net shared",
            ),
            does("ctr task kill -a -s 9 one && ctr task kill -a -s 9 pause"),
            shows("await 2 sh -c \"ctr task ls | grep -c STOPPED\"", "2"),
        ],
    ),
    (
        "kubelet: a spec",
        &[
            does(
                "mkdir -p spec/v && cat >spec/patch.py <<'END'\nimport json, sys\nspec = json.load(open('spec/config.json'))\nspec['root'] = {'path': '/tmp/engines/root', 'readonly': True}\nspec['process'].update({'args': ['look'], 'terminal': False, 'user': {'uid': 1000, 'gid': 1000, 'additionalGids': [10, 2000]}, 'env': ['PATH=/bin', 'KUBERNETES_PORT=x'], 'oomScoreAdj': 985})\nspec['hostname'] = 'pod-1'\nspec['mounts'] += [{'destination': '/etc/hosts', 'type': 'bind', 'source': '/etc/hosts', 'options': ['rbind', 'rprivate', 'ro']}, {'destination': '/var/run/secrets', 'type': 'bind', 'source': '/tmp/engines/spec/v', 'options': ['rbind', 'rprivate', 'ro']}]\nspec['linux']['cgroupsPath'] = '/default/kubepods/pod2/one'\nspec['linux']['resources'].update({'memory': {'limit': 67108864}, 'cpu': {'shares': 2, 'quota': 50000, 'period': 100000}, 'pids': {'limit': 100}, 'hugepageLimits': [], 'unified': {}})\nspec['annotations'] = {'io.kubernetes.cri.container-type': 'container'}\njson.dump(spec, open('spec/config.json', 'w'))\nEND\nctr oci spec >spec/config.json && python3 spec/patch.py",
            ),
            shows(
                "ctr run --rm --runc-binary /tmp/engines/bin/runc --config $PWD/spec/config.json one",
                "uid=1000(ana)",
            ),
        ],
    ),
    (
        "kubelet: probes while it is stopped",
        &[
            does("run -d one sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'"),
            does("ctr task kill -s 15 one"),
            does("for i in 1 2 3 4; do ctr task exec --exec-id e$i one true & done; wait"),
            does("ctr task kill -s 9 one"),
            shows("await STOPPED sh -c \"ctr task ls | awk '/^one/ { print \\$3 }'\"", "STOPPED"),
            exits(1, "ctr task exec --exec-id e9 one true"),
        ],
    ),
    (
        "limits",
        &[
            does("run -d --memory-limit=67108864 --cpus=0.5 --cpu-shares=512 one sleep 100"),
            shows(
                "find /sys/fs/cgroup -path '*/default/one/*' | grep -E '/(memory.limit_in_bytes|memory.max|cpu.cfs_quota_us|cpu.max|cpu.shares|cpu.weight)$' | sort | xargs grep -H .",
                ":67108864",
            ),
        ],
    ),
    (
        "limits: processors",
        &[
            does("run -d --cpu-quota=20000 --cpu-period=50000 one sleep 100"),
            shows(
                "find /sys/fs/cgroup -path '*/default/one/*' | grep -E '/(cpu.cfs_.*_us|cpu.max)$' | sort | xargs grep -H .",
                "20000",
            ),
        ],
    ),
    (
        "seccomp profile",
        &[
            does(
                "echo '{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"mkdir\",\"mkdirat\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":28}]}' >profile.json",
            ),
            exits(1, "run --rm --seccomp --seccomp-profile=$PWD/profile.json one mkdir /x"),
            does("run --rm --seccomp --seccomp-profile=$PWD/profile.json one touch /x"),
        ],
    ),
    (
        "options",
        &[
            shows(
                "run --rm --read-only --env=A=1 --cwd=/data --seccomp --cap-add=CAP_NET_ADMIN --cap-drop=CAP_CHOWN one look",
                "Seccomp:\t2",
            ),
            shows(
                "mkdir -p m && echo text >m/file && run --rm --mount=type=bind,src=$PWD/m,dst=/m,options=rbind:ro one sh -c 'cat /m/file; touch /m/x; true'",
                "text",
            ),
            shows("run --rm --net-host one hostname", ""),
            shows("run --rm --allow-new-privs one grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0"),
            shows("run --rm --device=/dev/kmsg one ls -l /dev/kmsg", "kmsg"),
            shows(
                "run --rm --no-pivot one true; run --rm --rootfs-propagation=shared one grep ' / / ' /proc/self/mountinfo | sed 's/:[0-9]*//g' | cut -d' ' -f5-8",
                "/",
            ),
        ],
    ),
    ("privileged", &[shows("run --rm --privileged one look", "mounts")]),
    (
        "user namespace",
        &[shows(
            "run --rm --uidmap=0:100000:65536 --gidmap=0:100000:65536 one sh -c 'id; cat /proc/self/uid_map'",
            "100000",
        )],
    ),
    (
        "a root directory",
        &[shows(
            "ctr run --rm --runc-binary /tmp/engines/bin/runc --rootfs /tmp/engines/root one /bin/sh -c 'PATH=/bin look'",
            "mounts",
        )],
    ),
    (
        "many at once",
        &[
            does("for i in 1 2 3 4 5 6; do run --rm m$i echo $i >$i.out 2>&1 & done; wait"),
            shows("cat [1-6].out", "6"),
        ],
    ),
];
