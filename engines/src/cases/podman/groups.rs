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
