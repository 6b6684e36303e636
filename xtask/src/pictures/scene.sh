#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What the pictures show: a machine with a neutral name and a few containers, and husk at work there. Runs as process 1 of new pid,
# mount and UTS namespaces, so that nothing of the machine around it shows, and all of it ends with this script.
# $1: the husk to show. $2: where the captured terminals and the page go.
set -euo pipefail

hostname demo
mount --bind "$2" /mnt
mount -t tmpfs scene /usr/local/bin
cp "$1" /usr/local/bin/husk
for place in /srv /root /tmp; do mount -t tmpfs scene "$place"; done
cd /srv
export HOME=/root LC_ALL=C.UTF-8 PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=xterm-256color
unset TMUX

# The process started next has this id, each time that pictures are made.
next_pid() { echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid; }

# Nobody writes into it: to wait without a process for it, which would take the id of another.
mkfifo /tmp/silence
exec 9<>/tmp/silence
pause() { read -r -t 0.3 -u 9 _ || :; }

# Waits until a command succeeds, for a minute.
await() {
    for _ in {1..200}; do
        pause
        if "$@" >/dev/null 2>&1; then return; fi
    done
    echo "the scene waits in vain for: $*" >&2
    return 1
}

sees() { husk see --tree | grep -qE -- "$1"; }

window() { tmux -f /dev/null new-session -d -s "$1" -x "$2" -y 60 "$3"; }
shows() { tmux capture-pane -p -t "$1" | grep -qF -- "$2"; }
type_line() { tmux send-keys -t "$1" -l -- "$2" && tmux send-keys -t "$1" Enter; }

# The two commands that people type by hand: a shell that has only its namespaces, and a second one in a root.
by_hand() {
    next_pid 14300
    window hand 100 'PS1="hand# " exec bash --norc'
    await shows hand 'hand#'
    next_pid 14334
    type_line hand 'exec unshare --pid --uts --ipc --mount --fork --mount-proc bash'
    await sees ' bash$'
    next_pid 14384
    type_line hand 'hash -r; echo 8 >/proc/sys/kernel/ns_last_pid; chroot mycontainer /bin/sh'
    await sees 'is 9 +/bin/sh'
}

# What it is to look like in the tree, the id of its first process, and the command that starts it.
container() {
    next_pid "$2"
    "${@:3}" </dev/null &
    await sees "$1"
}

containers() {
    local root
    for root in mycontainer web box; do husk rootfs new "$root" >/dev/null; done
    mkdir site
    by_hand
    container 'httpd -f' 14410 husk run -q --userns=host --name web -v ./site:/srv:ro web httpd -f -h /srv
    container ' nc -l' 14430 husk run -q --userns=host --share net --name proxy box nc -l -p 9000
    container 'sleep 1d' 14450 bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev sleep 1d
    # No range of ids is claimed here: which one, nobody can say beforehand.
    container 'sleep 7d' 14480 husk run -q --userns=single --name lab box sh -c 'unshare --uts --net sleep 7d; true'
}

# A terminal in which one command was typed: its name, its width, the command.
capture() {
    next_pid 14600
    window "$1" "$2" 'PS1="\[\e[1;32m\]root@demo\[\e[0m\]:\[\e[1;34m\]\w\[\e[0m\]# " exec bash --norc'
    await shows "$1" 'root@demo:/srv#'
    # It says when it is done, and then waits, so that no new prompt is drawn meanwhile.
    local farewell="; tmux wait-for -S $1; read"
    type_line "$1" "$3$farewell"
    tmux wait-for "$1"
    tmux capture-pane -e -p -S - -t "$1" | sed "s/$farewell//" >"/mnt/$1.ansi"
}

containers
capture see 136 'husk see'
capture explain 128 'husk explain run --userns=host --name web -v ./site:/srv:ro web httpd -f'
husk see --html /tmp/page.html >/dev/null
# What the machine's kernel is called beyond its version is nobody's business.
sed "s/$(uname -r)/$(uname -r | cut -d- -f1)/" /tmp/page.html >/mnt/page.html
