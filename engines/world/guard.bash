# SPDX-License-Identifier: Apache-2.0
#
# The guard of a world: it makes the world's cgroups, starts the world, feeds it what comes on standard input, and when
# that ends (the harness has finished, failed or been killed) it ends the world and takes the cgroups away again.
#
# usage: guard.bash NAME WITHOUT_UNIFIED SHELL_ARGUMENTS…
set -u
name=$1 without_unified=$2
shift 2

# The cgroups that will be the world's: below the harness's own in version 1, so that its limits hold; at the top in
# version 2, since a cgroup that has processes can have no children with controllers.
cgroups=()
inherit() { cat "${1%/*}/$2" >"$1/$2"; }
own() { # the path of this process's cgroup in the hierarchy that was mounted with these options
    local controllers path
    while IFS=: read -r _ controllers path; do
        [[ ,$1, == *,$controllers,* ]] && echo "$path" && return
    done </proc/self/cgroup
}
while read -r _ point type options _; do
    case $type in
    cgroup)
        above=$point$(own "$options")
        [[ -d $above ]] || above=$point
        directory=${above%/}/$name
        [[ -d $directory ]] && continue
        mkdir "$directory"
        if [[ -e $directory/cpuset.cpus ]]; then
            inherit "$directory" cpuset.cpus
            inherit "$directory" cpuset.mems
        fi
        ;;
    cgroup2)
        directory=$point/$name
        [[ -d $directory ]] && continue
        mkdir "$directory"
        ;;
    *) continue ;;
    esac
    cgroups+=("$directory")
done </proc/mounts

exec 5> >(
    for directory in "${cgroups[@]}"; do echo "$BASHPID" >"$directory/cgroup.procs"; done
    exec unshare --pid --mount --net --uts --ipc --cgroup --fork --kill-child --mount-proc \
        tini -- sh -c "$WORLD" world "$without_unified" "$@"
)
world=$!
# Answers are the world's alone: once it has ended there is nobody to wait for.
exec >&2
# In version 2 only the cgroup's children may have processes, and this one is not of the world.
for directory in "${cgroups[@]}"; do
    [[ -e ${directory%/*}/cgroup.controllers ]] || continue
    until [[ -n $(cat "/proc/$world/task/$world/children" 2>/dev/null) ]]; do
        kill -0 "$world" 2>/dev/null || break
        sleep 0.01
    done
    echo "$world" >"${directory%/*}/cgroup.procs" 2>/dev/null
done

cat >&5
exec 5>&-
kill -KILL "$world" 2>/dev/null
wait "$world" 2>/dev/null

# The last processes may take a moment to be gone.
for ((tries = 0; tries < 1200; tries++)); do
    left=0
    for directory in "${cgroups[@]}"; do
        [[ -d $directory ]] || continue
        find "$directory" -depth -type d -exec rmdir {} \; 2>/dev/null
        [[ -d $directory ]] && left=1
    done
    ((left)) || exit 0
    sleep 0.05
done
echo "these cgroups could not be removed: ${cgroups[*]}" >&2
exit 1
