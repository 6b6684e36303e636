// SPDX-License-Identifier: Apache-2.0
//! The engines, and how each starts in a world.

use std::fmt::{self, Display};
use std::path::Path;
use std::str::FromStr;

use crate::{Case, Result, World, cases};

/// Where worlds look for the machine's programs.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// An engine. Debian's versions of them are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// dockerd with the containerd that it starts itself, and docker-compose.
    Docker,
    /// dockerd with `--userns-remap`.
    Remap,
    /// Podman with conmon.
    Podman,
    /// The same for an ordinary user.
    Rootless,
    /// containerd, by `ctr`.
    Containerd,
    /// containerd with its plugin for Kubernetes, asked as a kubelet asks.
    Kubernetes,
    /// buildah.
    Buildah,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Docker,
        Self::Remap,
        Self::Podman,
        Self::Rootless,
        Self::Containerd,
        Self::Kubernetes,
        Self::Buildah,
    ];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Remap => "docker-remap",
            Self::Podman => "podman",
            Self::Rootless => "podman-rootless",
            Self::Containerd => "containerd",
            Self::Kubernetes => "kubernetes",
            Self::Buildah => "buildah",
        }
    }

    /// Its cases.
    pub fn cases(self) -> Vec<Case> {
        let parts = match self {
            Self::Docker => cases::docker::CASES,
            Self::Remap => &[cases::remap::CASES],
            Self::Podman => cases::podman::CASES,
            Self::Rootless => &[cases::rootless::CASES],
            Self::Containerd => &[cases::containerd::CASES],
            Self::Kubernetes => &[cases::kubernetes::CASES],
            Self::Buildah => &[cases::buildah::CASES],
        };
        let cases = parts.iter().flat_map(|part| part.iter());
        cases.map(|(name, steps)| Case { name, engine: self, steps }).collect()
    }

    /// The first program that it needs and that this machine lacks.
    pub fn missing(self) -> Option<&'static str> {
        let own: &[_] = match self {
            Self::Docker => &["dockerd", "docker", "docker-compose"],
            Self::Remap => &["dockerd", "docker"],
            Self::Podman => &["podman", "conmon", "catatonit"],
            Self::Rootless => &["podman", "conmon", "catatonit", "newuidmap", "setpriv"],
            Self::Containerd => &["containerd", "ctr"],
            Self::Kubernetes => &["containerd", "ctr", "curl", "protoc"],
            Self::Buildah => &["buildah"],
        };
        let of_worlds = ["busybox", "tini", "tmux", "unshare"];
        let is_there = |program: &str| PATH.split(':').any(|dir| Path::new(dir).join(program).exists());
        own.iter().chain(&of_worlds).find(|program| !is_there(program)).copied()
    }

    /// Starts it in a world and gives it the image `box`: busybox, with the programs `look`, `limit` and `size`.
    pub fn start(self, world: &mut World) -> Result {
        root(world)?;
        let starting = match self {
            Self::Docker => DOCKER.replace("$MORE", ""),
            Self::Remap => DOCKER.replace("$MORE", "--userns-remap=remap"),
            Self::Podman | Self::Buildah => {
                containers_conf(world)?;
                CONTAINERS.replace("$ENGINE", self.name())
            }
            Self::Rootless => {
                containers_conf(world)?;
                ROOTLESS.into()
            }
            Self::Containerd => CONTAINERD.into(),
            Self::Kubernetes => kubernetes(world)?,
        };
        world.must(&starting).map_err(|error| format!("{self} does not start: {error}"))?;
        Ok(())
    }

    /// What is typed after a case, so that the next one begins with nothing.
    pub(crate) fn clearing(self) -> &'static str {
        match self {
            Self::Docker | Self::Remap => "docker rm -fv $(docker ps -aq) >/dev/null 2>&1",
            Self::Podman | Self::Rootless => {
                "podman pod rm -fa -t 0 >/dev/null 2>&1; podman rm -fa -t 0 >/dev/null 2>&1"
            }
            Self::Containerd => {
                "for id in $(ctr task ls -q); do ctr task rm -f $id; done >/dev/null 2>&1
                 for id in $(ctr container ls -q); do ctr container rm $id; done >/dev/null 2>&1"
            }
            Self::Kubernetes => "kubelet clear >/dev/null 2>&1",
            Self::Buildah => "buildah rm -a >/dev/null 2>&1",
        }
    }
}

impl Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        let found = Self::ALL.into_iter().find(|engine| engine.name() == name);
        found.ok_or_else(|| format!("there is no engine '{name}': {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// Makes the root file system that all images come from, `/tmp/engines/root`, and its archive beside it.
fn root(world: &mut World) -> Result {
    world.must("cd /tmp/engines && mkdir -p root/bin root/etc root/proc root/sys root/dev root/tmp root/root root/run root/data root/home/ana")?;
    world.write_file("root/bin/look", include_str!("../world/image/look"))?;
    world.write_file("root/bin/limit", include_str!("../world/image/limit"))?;
    world.write_file("root/bin/size", include_str!("../world/image/size"))?;
    world.write_file(
        "root/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nana:x:1000:1000:ana:/home/ana:/bin/sh\n",
    )?;
    world.write_file("root/etc/group", "root:x:0:\nana:x:1000:\nwheel:x:10:ana\n")?;
    world.must(ROOT)?;
    Ok(())
}

/// What Podman and buildah are told, whoever runs them.
fn containers_conf(world: &mut World) -> Result {
    world.must("cd /tmp/engines")?;
    world.write_file("containers.conf", include_str!("../world/containers.conf"))
}

fn kubernetes(world: &mut World) -> Result<String> {
    world.must("mkdir -p /tmp/engines/cri")?;
    world.write_file("cri/cri.proto", include_str!("../world/cri/cri.proto"))?;
    world.write_file("bin/kubelet", include_str!("../world/cri/kubelet"))?;
    Ok(KUBERNETES.into())
}

const ROOT: &str = r#"
cd /tmp/engines
cp "$(command -v busybox)" root/bin/busybox
for applet in $(busybox --list); do [ -e root/bin/$applet ] || ln -s busybox root/bin/$applet; done
chmod 755 root/bin/look root/bin/limit root/bin/size
chmod 1777 root/tmp
chown 1000:1000 root/home/ana
echo 'not a program' >root/data/text
tar --numeric-owner -C root -cf root.tar .
"#;

/// The storage driver is vfs where there is no overlay. The bridge, since the hook for its network is a call that only
/// Docker makes; without iptables, since nothing is published.
const DOCKER: &str = r#"
mkdir -p /tmp/engines/docker
cat >/tmp/engines/bin/docker <<'END'
#!/bin/sh
export DOCKER_HOST=unix:///tmp/engines/docker/socket DOCKER_CONFIG=/tmp/engines/home/docker
exec /usr/bin/docker "$@"
END
cat >/tmp/engines/bin/docker-compose <<'END'
#!/bin/sh
export DOCKER_HOST=unix:///tmp/engines/docker/socket DOCKER_CONFIG=/tmp/engines/home/docker
exec /usr/bin/docker-compose "$@"
END
chmod 755 /tmp/engines/bin/*
cd /tmp/engines/docker
echo remap:x:100000:100000::/:/bin/false >>/etc/passwd
echo remap:x:100000: >>/etc/group
echo remap:100000:65536 | tee -a /etc/subuid >>/etc/subgid
dockerd --data-root=/tmp/engines/docker/data --exec-root=/tmp/engines/docker/exec --pidfile=/tmp/engines/docker/pid \
    -H unix:///tmp/engines/docker/socket --bip=172.30.7.1/24 --iptables=false --ip6tables=false \
    --shutdown-timeout=1 $MORE >log 2>&1 &
started $! docker version || exit 1
docker import --change 'ENV PATH=/bin' /tmp/engines/root.tar box >/dev/null || { tail -n 20 log >&2; exit 1; }
"#;

const CONTAINERS: &str = r#"
cat >/tmp/engines/storage.conf <<'END'
[storage]
driver = "overlay"
graphroot = "/tmp/engines/storage"
runroot = "/run/containers/storage"
END
for program in podman buildah; do
    cat >/tmp/engines/bin/$program <<END
#!/bin/sh
export CONTAINERS_CONF=/tmp/engines/containers.conf CONTAINERS_STORAGE_CONF=/tmp/engines/storage.conf
exec /usr/bin/$program "\$@"
END
done
chmod 755 /tmp/engines/bin/*
if [ $ENGINE = podman ]; then
    podman import --quiet --change 'ENV PATH=/bin' /tmp/engines/root.tar box
else
    container=$(buildah from scratch)
    buildah add --quiet "$container" /tmp/engines/root.tar /
    buildah config --env PATH=/bin --cmd sh "$container"
    buildah commit --quiet "$container" box && buildah rm "$container"
fi
"#;

/// The user has an account in the world alone, and what a distribution gives one: a range of ids, a directory below `/run`.
const ROOTLESS: &str = r#"
cd /tmp/engines
echo user:x:61000:61000::/tmp/engines/home/user:/bin/sh >>/etc/passwd
echo user:x:61000: >>/etc/group
echo user:100000:65536 | tee -a /etc/subuid >>/etc/subgid
mkdir -p home/user /run/user/61000
chown 61000:61000 home home/user /run/user/61000
chmod 700 /run/user/61000
cat >storage.conf <<'END'
[storage]
driver = "overlay"
END
cat >bin/podman <<'END'
#!/bin/sh
exec setpriv --reuid 61000 --regid 61000 --clear-groups env USER=user LOGNAME=user HOME=/tmp/engines/home/user \
    XDG_RUNTIME_DIR=/run/user/61000 CONTAINERS_CONF=/tmp/engines/containers.conf \
    CONTAINERS_STORAGE_CONF=/tmp/engines/storage.conf /usr/bin/podman "$@"
END
chmod 755 bin/podman
# Overlays in user namespaces take Linux 5.11, and on memory 6.6.
podman info >/dev/null 2>&1 || sed -i s/overlay/vfs/ storage.conf
podman import --quiet --change 'ENV PATH=/bin' /tmp/engines/root.tar box
"#;

/// ctr imports only what has a manifest. The plugin for Kubernetes has an engine of its own.
const CONTAINERD: &str = r#"
mkdir -p /tmp/engines/containerd/image && cd /tmp/engines/containerd
cat >config.toml <<'END'
version = 2
root = "/tmp/engines/containerd/root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[plugins."io.containerd.internal.v1.opt"]
path = "/tmp/engines/containerd/opt"
END
containerd --config config.toml >log 2>&1 &
started $! ctr version || exit 1
layer=$(sha256sum </tmp/engines/root.tar | cut -d' ' -f1)
printf '{"architecture":"%s","os":"linux","config":{"Cmd":["sh"],"Env":["PATH=/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$(dpkg --print-architecture)" "$layer" >image/config.json
printf '[{"Config":"config.json","RepoTags":["localhost/box:latest"],"Layers":["layer.tar"]}]' >image/manifest.json
ln /tmp/engines/root.tar image/layer.tar
tar -C image -cf image.tar manifest.json config.json layer.tar
ctr image import image.tar >/dev/null || { tail -n 20 log >&2; exit 1; }
cat >/tmp/engines/bin/run <<'END'
#!/bin/sh
# As `ctr run`, with the runtime of this world: `run [OPTION…] ID COMMAND…`; the image stands between.
options=
while case $1 in -*) true ;; *) false ;; esac; do options="$options $1"; shift; done
exec ctr run --runc-binary /tmp/engines/bin/runc $options localhost/box:latest "$@"
END
chmod 755 /tmp/engines/bin/run
"#;

/// Pods have a network namespace each, and an address that nobody has set: the plugin for networks only says one. Without
/// CAP_SYS_RESOURCE nobody gets a lower `oom_score_adj` than its own.
const KUBERNETES: &str = r#"
cd /tmp/engines/cri
chmod 755 /tmp/engines/bin/kubelet
mkdir -p bin net.d
cat >config.toml <<'END'
version = 2
root = "/tmp/engines/cri/root"
state = "/run/containerd"
[grpc]
address = "/tmp/engines/cri/socket"
[plugins."io.containerd.internal.v1.opt"]
path = "/tmp/engines/cri/opt"
[plugins."io.containerd.grpc.v1.cri"]
restrict_oom_score_adj = true
sandbox_image = "localhost/pause:latest"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/tmp/engines/cri/bin"
conf_dir = "/tmp/engines/cri/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "/tmp/engines/bin/runc"
SystemdCgroup = false
END
cat >bin/none <<'END'
#!/bin/sh
case $CNI_COMMAND in
VERSION) echo '{"cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0"]}' ;;
ADD) echo '{"cniVersion": "0.3.1", "interfaces": [{"name": "eth0", "sandbox": "'"$CNI_NETNS"'"}], "ips": [{"version": "4", "address": "10.9.0.2/24", "interface": 0}]}' ;;
esac
END
chmod 755 bin/none; ln bin/none bin/loopback
echo '{"cniVersion": "0.3.1", "name": "none", "plugins": [{"type": "none"}]}' >net.d/10-none.conflist
containerd --config config.toml >log 2>&1 &
export CONTAINERD_ADDRESS=/tmp/engines/cri/socket CONTAINERD_NAMESPACE=k8s.io
started $! ctr version || exit 1
layer=$(sha256sum </tmp/engines/root.tar | cut -d' ' -f1)
ln /tmp/engines/root.tar layer.tar
for image in 'box ["sh"]' 'pause ["sleep","1000000"]'; do
    printf '{"architecture":"%s","os":"linux","config":{"Cmd":%s,"Env":["PATH=/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
        "$(dpkg --print-architecture)" "${image#* }" "$layer" >config.json
    printf '[{"Config":"config.json","RepoTags":["localhost/%s:latest"],"Layers":["layer.tar"]}]' "${image%% *}" >manifest.json
    tar -cf image.tar manifest.json config.json layer.tar
    ctr image import image.tar >/dev/null || { tail -n 20 log >&2; exit 1; }
done
"#;
