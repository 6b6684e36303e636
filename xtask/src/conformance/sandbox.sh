# SPDX-License-Identifier: Apache-2.0
# sh sandbox.sh NAME PROGRAM: runs a program in namespaces of its own, where it sees, of every cgroup hierarchy, the
# cgroup NAME alone, an empty /run, and no process but its own. HIDE names hierarchies of v1 or hybrid that it shall
# not see. The cgroups NAME are left for the caller to remove.
set -e
name=$1
shift
top=/sys/fs/cgroup
if [ -e $top/cgroup.controllers ]; then
    unified=1
    for controller in $(cat $top/cgroup.controllers); do
        echo "+$controller" > $top/cgroup.subtree_control 2> /dev/null || true
    done
    mkdir $top/"$name"
    echo $$ > $top/"$name"/cgroup.procs
else
    unified=0
    for hierarchy in $top/*/; do
        group=$hierarchy$name
        mkdir "$group"
        if [ -e "$group"/cpuset.cpus ]; then
            cat "$hierarchy"cpuset.cpus > "$group"/cpuset.cpus
            cat "$hierarchy"cpuset.mems > "$group"/cpuset.mems
        fi
        echo $$ > "$group"/cgroup.procs
    done
fi
export unified top
exec unshare --pid --mount --cgroup --ipc --fork --kill-child --propagation private sh -ec '
mount -t proc proc /proc
if [ $unified = 1 ]; then
    umount -l $top
    mount -t cgroup2 cgroup2 $top
    mkdir $top/programs
    echo 0 > $top/programs/cgroup.procs
    for controller in $(cat $top/cgroup.controllers); do
        echo "+$controller" > $top/cgroup.subtree_control
    done
else
    for hierarchy in $top/*/; do
        name=$(basename $hierarchy)
        umount $hierarchy
        case " $HIDE " in *" $name "*) continue ;; esac
        case $name in
        unified) mount -t cgroup2 cgroup2 $hierarchy ;;
        systemd) mount -t cgroup -o none,name=systemd cgroup $hierarchy ;;
        *) mount -t cgroup -o $name cgroup $hierarchy ;;
        esac
    done
fi
mount -t tmpfs tmpfs /run
mkdir /run/tmp
TMPDIR=/run/tmp
export TMPDIR
exec "$@"' sh "$@"
