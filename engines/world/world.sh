# SPDX-License-Identifier: Apache-2.0
#
# The world from inside: nothing that an engine writes reaches the machine. Afterwards the shell reads commands from its
# standard input.
#
# usage: world.sh WITHOUT_UNIFIED RUNTIME [PROGRAM…]
set -eu
without_unified=$1 runtime=$2
shift 2

mount --make-rprivate /
# Podman takes it away from containers with ids of their own, and cannot where it came with this namespace.
if mountpoint -q /sys/kernel/tracing; then umount /sys/kernel/tracing; fi
# Programs may lie where the world's own /tmp will hide them.
mount -t tmpfs -o mode=1777 husk-engines /mnt
mkdir -p /mnt/engines/bin /mnt/engines/home
cp "$runtime" /mnt/engines/runtime
for program; do cp "$program" /mnt/engines/bin/; done
mount --move /mnt /tmp
cd /tmp/engines

# /etc, /var and /opt are the machine's, but what is written to them stays here; the rest cannot be written at all.
for top in etc var opt; do
    mkdir -p "layers/$top" "work/$top"
    mount -t overlay -o "lowerdir=/$top,upperdir=/tmp/engines/layers/$top,workdir=/tmp/engines/work/$top" overlay "/$top"
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/lock
mount -o remount,bind,ro /
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts /dev/pts
mount --bind /dev/pts/ptmx /dev/ptmx
hostname engines
ip link set lo up

hierarchies=$(sed -n 's|^[^ ]* /sys/fs/cgroup/\([^/ ]*\) cgroup2* .*|\1|p' /proc/mounts)
unified=$(stat -f -c %T /sys/fs/cgroup)
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
if [ "$unified" = cgroup2fs ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir /sys/fs/cgroup/world
    for pid in 1 $$; do echo "$pid" >/sys/fs/cgroup/world/cgroup.procs; done
    # The guard leaves this cgroup at about this time; until then it can have no children with controllers.
    for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
        tries=0
        until { echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control; } 2>/dev/null; do
            tries=$((tries + 1))
            if [ $tries -gt 1200 ]; then
                echo "the world gets no controller $controller for what is below it" >&2
                exit 1
            fi
            sleep 0.05
        done
    done
else
    mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
    for hierarchy in $hierarchies; do
        mkdir "/sys/fs/cgroup/$hierarchy"
        case $hierarchy in
        unified) [ "$without_unified" = 1 ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified ;;
        systemd) mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd ;;
        *) mount -t cgroup -o "$hierarchy" cgroup "/sys/fs/cgroup/$hierarchy" ;;
        esac
    done
fi

# The engines know the runtime by the name runc, whatever it is: what they do must not depend on its name. Each call is
# written down.
cat >bin/runc <<'WRAPPER'
#!/bin/sh
printf '%s\n' "$*" >>/tmp/engines/calls
exec /tmp/engines/runtime "$@"
WRAPPER
chmod 755 bin/* runtime

# The machine's own mounts, which nobody in here leaves behind.
cut -d' ' -f2 /proc/mounts >mounts

export HOME=/tmp/engines/home PATH=/tmp/engines/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C TERM=xterm
unset TMPDIR XDG_RUNTIME_DIR XDG_CONFIG_HOME DOCKER_HOST DOCKER_CONFIG CONTAINERS_CONF CONTAINER_HOST
exec sh
