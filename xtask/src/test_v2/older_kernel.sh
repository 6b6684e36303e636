#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# older_kernel.sh LAB DIRECTORY: makes of DIRECTORY a LAB_CACHE with the image of LAB and the kernel of Debian 12 itself. The lab's
# own kernel, of backports, is without memory and cpuset in version 1, as Debian builds them since Linux 6.11.
set -eu
lab=$1 to=$2 cache=${LAB_CACHE:-$HOME/.cache/husk-lab}
[ -e "$cache/stamp" ] || "$lab" -- true
export APT_CONFIG="$cache/apt/conf"
package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-6\.1[^ ]*\)/\1/p')
[ -n "$package" ] || { echo "apt knows no Linux 6.1" >&2; exit 1; }
made="$(cat "$cache/stamp") $package"
[ "$(cat "$to/made" 2>/dev/null)" != "$made" ] || exit 0

rm -rf "$to"
mkdir -p "$to/kernel.deb" "$to/initrd.new"
(cd "$to/kernel.deb" && apt-get -qq -o APT::Sandbox::User=root download "$package" && dpkg-deb -x "$package"_*.deb .)
(cd "$to/initrd.new" && busybox cpio -i < "$cache/initrd" 2>/dev/null && rm -f mod/*)
number=10
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk virtio_console \
	crc16 mbcache jbd2 crc32c_generic ext4 netfs fscache 9pnet 9pnet_virtio 9p; do
	number=$((number + 1))
	find "$to/kernel.deb/lib/modules" -name "$module.ko" -exec cp {} "$to/initrd.new/mod/$number-$module.ko" \;
done
(cd "$to/initrd.new" && find . | busybox cpio -o -H newc 2>/dev/null) > "$to/initrd"
cp "$to/kernel.deb/boot/vmlinuz-"* "$to/kernel"
rm -rf "$to/kernel.deb" "$to/initrd.new"
ln -s "$cache/root.ext4" "$to/root.ext4"
cp "$cache/stamp" "$to/stamp"
echo "$made" > "$to/made"
