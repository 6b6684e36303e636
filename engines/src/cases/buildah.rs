// SPDX-License-Identifier: Apache-2.0
//! buildah.

use super::Cases;
use crate::case::{does, exits, shows};

pub(crate) const CASES: Cases = &[
    (
        "build",
        &[
            does(
                "mkdir -p b && printf 'FROM localhost/box\\nARG A=1\\nENV B=2\\nRUN echo $A $B >/made && look\\nUSER ana\\nWORKDIR /home/ana\\nRUN id && touch here\\n' >b/Dockerfile",
            ),
            shows("buildah bud --isolation oci --network none --no-cache -t built b", "uid=1000(ana)"),
            exits(
                3,
                "printf 'FROM localhost/box\\nRUN exit 3\\n' | buildah bud --isolation oci --network none -f - b",
            ),
            does("buildah rmi built"),
        ],
    ),
    (
        "build: mounts of RUN",
        &[
            does(
                "mkdir -p m && echo secret >m/secret && printf 'FROM localhost/box\\nRUN --mount=type=tmpfs,target=/t --mount=type=secret,id=s --mount=type=bind,target=/ctx touch /t/x && cat /run/secrets/s /ctx/secret\\n' >m/Dockerfile",
            ),
            shows(
                "buildah bud --isolation oci --network none --no-cache --secret id=s,src=m/secret -t built m",
                "secret\nsecret",
            ),
        ],
    ),
    (
        "build: limits",
        &[
            does(
                "mkdir -p l && printf 'FROM localhost/box\\nRUN tail -n +2 /proc/self/limits; grep Cap /proc/self/status; cat /etc/hosts\\n' >l/Dockerfile",
            ),
            shows(
                "buildah bud --isolation oci --network host --no-cache --ulimit nofile=100:200 --memory 64m --cap-add CAP_NET_ADMIN --cap-drop CAP_CHOWN --add-host there:10.0.0.1 l",
                "there",
            ),
        ],
    ),
    (
        "run",
        &[
            does("buildah from --name one box"),
            shows("buildah run --isolation oci one look", "mounts"),
            exits(7, "buildah run --isolation oci one sh -c 'exit 7'"),
            exits(1, "buildah run --isolation oci one no-such"),
            shows("echo hello | buildah run --isolation oci one cat", "hello"),
            shows(
                "buildah run --isolation oci --user ana --workingdir /data --env A=1 --hostname web --cap-add CAP_NET_ADMIN one sh -c 'id; pwd; echo $A; hostname; grep Cap /proc/self/status'",
                "uid=1000(ana)",
            ),
            shows(
                "mkdir -p v && echo text >v/file && buildah run --isolation oci -v $PWD/v:/v:ro --mount type=tmpfs,dst=/t one sh -c 'cat /v/file; touch /t/x; touch /v/x; true'",
                "text",
            ),
        ],
    ),
    (
        "run: terminal",
        &[
            does("buildah from --name one box"),
            shows("terminal 'buildah run --isolation oci -t one sh' 'tty; size' 'exit 3'", "status 3"),
        ],
    ),
    (
        "run: killed",
        &[
            does("buildah from --name one box"),
            exits(
                124,
                "timeout 2 buildah run --isolation oci one sh -c 'trap \"exit 5\" INT TERM; while :; do sleep 0.1; done' 2>/dev/null",
            ),
        ],
    ),
    (
        "run: namespaces",
        &[
            does("buildah from --name one --network none box"),
            shows(
                "buildah run --isolation oci --network host --ipc host --pid host --uts host one sh -c 'hostname; ps | grep -c [t]ini'",
                "engines",
            ),
            shows(
                "buildah from --name two --userns-uid-map 0:100000:65536 --userns-gid-map 0:100000:65536 box && buildah run --isolation oci two sh -c 'id; cat /proc/self/uid_map'",
                "100000",
            ),
        ],
    ),
    (
        "commit",
        &[
            does("buildah from --name one box"),
            does("buildah run --isolation oci one sh -c 'echo x >/made' && buildah commit -q one made"),
            shows("buildah from --name two made && buildah run --isolation oci two cat /made", "x"),
            does("buildah rm two && buildah rmi made"),
        ],
    ),
];
