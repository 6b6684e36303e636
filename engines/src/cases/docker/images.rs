// SPDX-License-Identifier: Apache-2.0
//! Images that are made from containers, and groups of containers.

use crate::case::{does, exits, shows};
use crate::cases::Cases;

pub(crate) const CASES: Cases = &[
    (
        "copy, differences, export",
        &[
            does("docker run -d --name one box sh -c 'echo x >/tmp/x; sleep 100'"),
            shows("await x docker exec one cat /tmp/x", "x"),
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
                "mkdir -p c && cat >c/docker-compose.yml <<'END'\nversion: '2.4'\nservices:\n  one:\n    image: box\n    network_mode: none\n    command: sh -c 'echo one >/shared/one; sleep 100'\n    volumes: ['data:/shared']\n    mem_limit: 32m\n    healthcheck: {test: 'test -e /shared/one', interval: 0.2s, retries: 100}\n  two:\n    image: box\n    network_mode: none\n    depends_on: {one: {condition: service_healthy}}\n    command: sh -c 'cat /shared/one; exit 3'\n    volumes: ['data:/shared']\nvolumes: {data: {}}\nEND",
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
