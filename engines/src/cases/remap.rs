// SPDX-License-Identifier: Apache-2.0
//! Docker with `--userns-remap`: every container in a user namespace that the daemon maps.

use super::Cases;
use crate::case::{does, shows};

pub(crate) const CASES: Cases = &[
    ("run", &[shows("docker run --rm box look", "100000      65536")]),
    (
        "outside",
        &[
            does("docker run -d --name one -u ana box sleep 100"),
            shows("outside $(docker inspect -f '{{.State.Pid}}' one)", "user its own"),
            shows("stat -c %u /proc/$(docker inspect -f '{{.State.Pid}}' one)", "101000"),
        ],
    ),
    (
        "exec",
        &[
            does("docker run -d --name one box sleep 100"),
            shows("docker exec one sh -c 'id; cat /proc/self/uid_map; grep Cap /proc/self/status'", "100000"),
            shows("terminal 'docker exec -it one sh' 'tty' 'exit 6'", "status 6"),
        ],
    ),
    (
        "terminal",
        &[shows(
            "terminal 'docker run --rm -it box sh' 'tty; ls -l /dev/console; touch /x; ls -l /x | cut -c1-30' 'exit 3'",
            "status 3",
        )],
    ),
    (
        "volumes",
        &[
            does("mkdir -p v && echo text >v/file && chmod 700 v && chown 100000:100000 v"),
            shows("docker run --rm -v $PWD/v:/v box sh -c 'cat /v/file; touch /v/new'", "text"),
            shows("stat -c %u v/new", "100000"),
            shows(
                "docker run --rm -v data:/home --tmpfs /t box sh -c 'touch /home/x /t/x; stat -c \"%u %n\" /home /home/ana /t'",
                "0 /home",
            ),
            does("docker volume rm data"),
        ],
    ),
    (
        "the host's user namespace",
        &[shows("docker run --rm --userns host box cat /proc/self/uid_map", "4294967295")],
    ),
    (
        "capabilities",
        &[shows(
            "docker run --rm --cap-add net_admin box sh -c 'ip link set lo mtu 1000 && ip link show lo'",
            "mtu 1000",
        )],
    ),
    (
        "sysctl, limits",
        &[shows(
            "docker run --rm --sysctl net.core.somaxconn=99 --memory 64m --ulimit nofile=100 box sh -c 'cat /proc/sys/net/core/somaxconn; limit memory; ulimit -n'",
            "67108864",
        )],
    ),
    ("read-only", &[shows("docker run --rm --read-only --init box look", "mounts")]),
];
