// SPDX-License-Identifier: Apache-2.0
//! Pods, and images that are made from containers.

use crate::case::{does, exits, shows};
use crate::cases::Cases;

pub(crate) const CASES: Cases = &[
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
            shows("await 2 sh -c \"podman pod top group args | grep -c '^sleep 1*[09]'\"", "2"),
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
        "compose",
        &[
            does(
                "mkdir -p c && cat >c/docker-compose.yml <<'END'\nversion: '2.4'\nservices:\n  one:\n    image: localhost/box\n    network_mode: none\n    command: sh -c 'echo one >/shared/one; sleep 100'\n    volumes: ['data:/shared']\n    mem_limit: 32m\n  two:\n    image: localhost/box\n    network_mode: none\n    command: sh -c 'until cat /shared/one 2>/dev/null; do sleep 0.1; done; exit 3'\n    volumes: ['data:/shared']\nvolumes: {data: {}}\nEND",
            ),
            does(
                "podman system service --time 0 unix:///tmp/engines/c/socket >c/log 2>&1 & await yes sh -c 'test -S c/socket && echo yes'",
            ),
            does(
                "DOCKER_HOST=unix:///tmp/engines/c/socket docker-compose --no-ansi -p group -f c/docker-compose.yml up -d 2>/dev/null",
            ),
            shows(
                "await 3 podman inspect -f '{{.State.ExitCode}}' group_two_1 && podman logs group_two_1",
                "one",
            ),
            shows("podman exec group_one_1 limit memory", "33554432"),
            does(
                "DOCKER_HOST=unix:///tmp/engines/c/socket docker-compose -p group -f c/docker-compose.yml down -v -t 0 2>/dev/null",
            ),
            shows("podman ps -aq | wc -l", "0"),
            does("pkill -f '[s]ystem service'"),
        ],
    ),
    (
        "copy, differences, commit",
        &[
            does("podman run -d --name one box sh -c 'echo x >/tmp/x; sleep 100'"),
            shows("await x podman exec one cat /tmp/x", "x"),
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
