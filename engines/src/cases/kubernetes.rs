// SPDX-License-Identifier: Apache-2.0
//! A kubelet's calls: pods and containers by the Container Runtime Interface.

use super::Cases;
use crate::case::{does, exits, shows};

pub(crate) const CASES: Cases = &[
    (
        "a pod",
        &[
            does("kubelet pod web"),
            does("kubelet create web one \"command: ['sh', '-c', 'echo up; echo bad >&2; sleep 100']\""),
            does("kubelet start one"),
            shows("kubelet status one", "CONTAINER_RUNNING"),
            shows("kubelet exec one look", "host name web"),
            shows("kubelet exec one cat /etc/resolv.conf /etc/hostname", "nameserver 10.0.0.10"),
            shows("await 2 sh -c 'kubelet log web one | wc -l' && kubelet log web one | sort", "stdout F up"),
            shows("kubelet stats one", "cpu { value: N memory { value: N"),
            does("kubelet stop one 0"),
            shows("kubelet status one", "CONTAINER_EXITED 137 Error"),
            does("kubelet remove one && kubelet end web"),
        ],
    ),
    (
        "what a pod shares",
        &[
            does("kubelet pod web"),
            does("kubelet create web one \"command: ['sleep', '100']\" && kubelet start one"),
            does("kubelet create web two \"command: ['sleep', '99']\" && kubelet start two"),
            shows(
                "for kind in pid ipc net mnt uts; do [ $(kubelet exec one readlink /proc/1/ns/$kind) = $(kubelet exec two readlink /proc/1/ns/$kind) ] && echo $kind shared || echo $kind not; done",
                "net shared",
            ),
            shows("kubelet exec two ip -o link | wc -l", "1"),
            does("kubelet pod all 'namespace_options { pid: POD }'"),
            does(
                "kubelet create all three \"command: ['sleep', '98'] linux { security_context { namespace_options { pid: POD } } }\" && kubelet start three",
            ),
            shows("kubelet exec three ps -o args | sort", "sleep 1000000"),
            does(
                "kubelet create web debug \"command: ['sleep', '97'] linux { security_context { namespace_options { pid: TARGET target_id: '$(cat cri/ids/one)' } } }\" && kubelet start debug",
            ),
            shows("kubelet exec debug ps -o args | sort", "sleep 100"),
        ],
    ),
    (
        "the node's namespaces",
        &[
            does("kubelet pod node 'namespace_options { network: NODE pid: NODE ipc: NODE }'"),
            does(
                "kubelet create node one \"command: ['sleep', '100'] linux { security_context { namespace_options { network: NODE pid: NODE ipc: NODE } } }\" && kubelet start one",
            ),
            shows("kubelet exec one sh -c 'ps | grep -c [c]ontainerd' | grep -vc '^0$'", "1"),
            shows("outside $(pgrep -x -f 'sleep 100')", "net the world's"),
        ],
    ),
    (
        "resources",
        &[
            does("kubelet pod web"),
            does(
                "kubelet create web one \"command: ['sleep', '100'] linux { resources { memory_limit_in_bytes: 67108864 cpu_period: 100000 cpu_quota: 50000 cpu_shares: 512 oom_score_adj: 900 cpuset_cpus: '0' } }\" && kubelet start one",
            ),
            shows(
                "kubelet exec one sh -c 'limit memory swap cpu shares cpuset pids; cat /proc/self/oom_score_adj'",
                "900",
            ),
            does(
                "kubelet update one 'memory_limit_in_bytes: 33554432 cpu_quota: 20000 cpu_period: 100000 cpu_shares: 256'",
            ),
            shows("kubelet exec one limit memory cpu shares", "33554432"),
            does(
                "kubelet create web two \"command: ['tail', '-c', '100m', '/dev/zero'] linux { resources { memory_limit_in_bytes: 16777216 } }\" && kubelet start two",
            ),
            shows("await 'CONTAINER_EXITED 137 OOMKilled' kubelet status two", "OOMKilled"),
        ],
    ),
    (
        "a restricted security context",
        &[
            does("kubelet pod web 'run_as_user { value: 1000 } seccomp { profile_type: RuntimeDefault }'"),
            does(
                "kubelet create web one \"command: ['sleep', '100'] linux { security_context { run_as_user { value: 1000 } run_as_group { value: 2000 } supplemental_groups: 10 supplemental_groups: 3000 readonly_rootfs: true no_new_privs: true capabilities { drop_capabilities: 'ALL' add_capabilities: 'NET_BIND_SERVICE' } seccomp { profile_type: RuntimeDefault } masked_paths: '/proc/kcore' masked_paths: '/proc/keys' masked_paths: '/sys/firmware' readonly_paths: '/proc/sys' readonly_paths: '/proc/irq' } }\" && kubelet start one",
            ),
            shows("kubelet exec one look", "uid=1000(ana) gid=2000"),
            exits(1, "kubelet exec one touch /x"),
            exits(1, "kubelet exec one unshare -m true"),
        ],
    ),
    (
        "privileged",
        &[
            does("kubelet pod web 'privileged: true'"),
            does(
                "kubelet create web one \"command: ['sleep', '100'] linux { security_context { privileged: true } }\" && kubelet start one",
            ),
            shows(
                "kubelet exec one sh -c 'grep -E \"Cap|Seccomp:\" /proc/self/status; ls /dev | wc -l | grep -c ...; limit devices; touch /proc/sys/kernel/hostname'",
                "Seccomp:\t0",
            ),
        ],
    ),
    (
        "volumes and devices",
        &[
            does(
                "mkdir -p kv && echo text >kv/file && mount -t tmpfs kp kv && mount --make-shared kv && echo text >kv/file",
            ),
            does("kubelet pod web 'privileged: true'"),
            does(
                "kubelet create web one \"command: ['sleep', '100'] mounts { container_path: '/ro' host_path: '/tmp/engines/kv' readonly: true } mounts { container_path: '/follows' host_path: '/tmp/engines/kv' propagation: PROPAGATION_HOST_TO_CONTAINER } devices { container_path: '/dev/log' host_path: '/dev/kmsg' permissions: 'r' }\" && kubelet start one",
            ),
            shows("kubelet exec one cat /ro/file", "text"),
            exits(1, "kubelet exec one touch /ro/new"),
            does("mkdir kv/sub && mount -t tmpfs later kv/sub && touch kv/sub/arrived"),
            shows("kubelet exec one ls /follows/sub", "arrived"),
            shows("kubelet exec one ls -l /dev/log | cut -c1-43", "1,  11"),
            does(
                "kubelet create web two \"command: ['sh', '-c', 'mkdir /both/out && mount -t tmpfs x /both/out && touch /both/out/here; sleep 100'] mounts { container_path: '/both' host_path: '/tmp/engines/kv' propagation: PROPAGATION_BIDIRECTIONAL } linux { security_context { privileged: true } }\" && kubelet start two",
            ),
            shows("await here ls kv/out", "here"),
            does("kubelet end web; umount -R -l kv"),
        ],
    ),
    (
        "exec as a probe",
        &[
            does("kubelet pod web"),
            does("kubelet create web one \"command: ['sleep', '100']\" && kubelet start one"),
            exits(3, "kubelet exec one sh -c 'echo not well; exit 3'"),
            exits(125, "kubelet exec one no-such 2>/dev/null"),
            does("for i in 1 2 3 4; do kubelet exec one true & done; wait"),
            shows("kubelet exec one ps -o args | sort", "sleep 100"),
        ],
    ),
    (
        "stop",
        &[
            does("kubelet pod web"),
            does(
                "kubelet create web one \"command: ['sh', '-c', 'trap \\\"echo asked; exit 5\\\" TERM; echo up; while :; do sleep 0.1; done']\" && kubelet start one",
            ),
            shows("await 'stdout F up' kubelet log web one", "up"),
            does("kubelet stop one 5"),
            shows("kubelet status one", "CONTAINER_EXITED 5 Error"),
            shows("await 2 sh -c 'kubelet log web one | wc -l' && kubelet log web one", "asked"),
            does(
                "kubelet create web two \"command: ['sh', '-c', 'trap \\\"\\\" TERM; sleep 60 & sleep 61 & wait']\" && kubelet start two",
            ),
            does("kubelet stop two 1"),
            shows("kubelet status two", "CONTAINER_EXITED 137 Error"),
            shows("ps -e -o args= | grep -c '^sleep 6[01]'; true", "0"),
        ],
    ),
    (
        "ends by itself, and again",
        &[
            does("kubelet pod web"),
            does("kubelet create web one \"command: ['sh', '-c', 'exit 4']\" && kubelet start one"),
            shows("await 'CONTAINER_EXITED 4 Error' kubelet status one", "4"),
            does("kubelet remove one && kubelet create web one \"command: ['true']\" && kubelet start one"),
            shows("await 'CONTAINER_EXITED Completed' kubelet status one", "Completed"),
        ],
    ),
    (
        "no such command",
        &[
            does("kubelet pod web"),
            does("kubelet create web one \"command: ['no-such']\""),
            exits(1, "kubelet start one 2>/dev/null"),
            shows("kubelet status one", "CONTAINER_EXITED 128 StartError"),
        ],
    ),
    (
        "sysctls, environment, directory",
        &[
            does(
                "kubelet pod web '' \"sysctls { key: 'kernel.msgmax' value: '4096' } sysctls { key: 'net.core.somaxconn' value: '99' }\"",
            ),
            does(
                "kubelet create web one \"command: ['sleep', '100'] working_dir: '/data/new' envs { key: 'A' value: 'x y' }\" && kubelet start one",
            ),
            shows(
                "kubelet exec one sh -c 'pwd; echo $A; cat /proc/sys/kernel/msgmax /proc/sys/net/core/somaxconn'",
                "/data/new\nx y\n4096\n99",
            ),
        ],
    ),
    (
        "a terminal",
        &[
            does("kubelet pod web"),
            does(
                "kubelet create web one \"command: ['sh', '-c', 'tty; ls -l /dev/console | cut -c1-10; sleep 100'] tty: true stdin: true\" && kubelet start one",
            ),
            shows("await 2 sh -c 'kubelet log web one | wc -l' && kubelet log web one", "/dev/pts/0"),
        ],
    ),
    (
        "many pods at once",
        &[
            does("for i in 1 2 3 4; do kubelet pod p$i & done; wait"),
            does(
                "for i in 1 2 3 4; do { kubelet create p$i c$i \"command: ['sleep', '100']\" && kubelet start c$i; } & done; wait",
            ),
            shows("for i in 1 2 3 4; do kubelet exec c$i hostname; done", "p4"),
            does("for i in 1 2 3 4; do kubelet end p$i & done; wait"),
        ],
    ),
    (
        "the shim is killed",
        &[
            does("kubelet pod web"),
            does("kubelet create web one \"command: ['sleep', '100']\" && kubelet start one"),
            does("pkill -9 -f '[c]ontainerd-shim-runc-v2 -namespace k8s.io'"),
            shows("await 0 sh -c \"ps -e -o args= | grep -c '^sleep 100'\"", "0"),
            shows("await CONTAINER_EXITED sh -c 'kubelet status one | cut -d\" \" -f1'", "CONTAINER_EXITED"),
        ],
    ),
];
