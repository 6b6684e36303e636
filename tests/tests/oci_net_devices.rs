// SPDX-License-Identifier: Apache-2.0
//! `linux.netDevices`: devices that move into the container, out of a network namespace of the test's own.
#![forbid(unsafe_code)]

use husk_tests::oci::{Bundle, Site, SpecChange};
use husk_tests::{Output, oci_site};
use serde_json::{Value, json};

/// What comes of a container that is run in a new network namespace, after `script` has made devices there; `None` and a skip if
/// this kernel makes none.
fn run(site: &Site, script: &str, bundle: &Bundle<'_>) -> Option<Output> {
    if site.is_too_old("runc", (1, 4, 0), "linux.netDevices")
        || site.is_too_old("crun", (1, 24, 0), "linux.netDevices")
    {
        return None;
    }
    bundle.write();
    // The shell stays: with the last process in it the namespace would go, the other end there, and with that this one.
    let script = format!(
        "ip link set lo up; ip link add husk0 type veth peer name other || exit 77; {script}; \"$@\"; exit $?"
    );
    let run = site.command("unshare").args(["--net", "sh", "-c", &script, "sh"]).arg(site.runtime().path());
    let run = run.arg("--root").arg(site.root()).args(["run", "--bundle"]);
    let output = run.arg(bundle.path()).arg(bundle.id()).run();
    if output.code() == 77 {
        site.note("this kernel makes no veth network devices");
        return None;
    }
    Some(output)
}

fn devices(devices: Value) -> impl FnOnce(&mut Value) {
    move |spec| spec["linux"]["netDevices"] = devices
}

const ADDRESSES: &str = "ip address add 192.0.2.7/24 dev husk0; ip -6 address add 2001:db8::7/64 dev husk0 nodad; \
                         ip link set husk0 mtu 1400 address 02:00:00:00:00:09";

#[test]
fn a_device_takes_its_addresses_along_and_is_up() {
    let site = oci_site!();
    let script = "ip link show inner | grep -o 'UP\\|mtu 1400\\|02:00:00:00:00:09'; \
                  ip address show inner | grep -o 'inet6* [0-9a-f.:]*/[0-9]* *[a-z 0-9.]*scope global'; \
                  ls /sys/class/net | grep husk0";
    for before in ["", "; ip link set husk0 up"] {
        let bundle = site.bundle().sh(script).change(devices(json!({"husk0": {"name": "inner"}})));
        let Some(output) = run(&site, &format!("{ADDRESSES}{before}"), &bundle) else { return };
        let said = &output.stdout;
        for expected in ["UP", "mtu 1400", "02:00:00:00:00:09", "inet 192.0.2.7/24", "inet6 2001:db8::7/64"] {
            assert!(said.contains(expected), "{expected}: {output}");
        }
        assert!(!said.contains("husk0"), "{output}");
    }
}

#[test]
fn a_device_moves_into_the_namespace_of_a_user_namespace() {
    let site = oci_site!();
    let bundle = site.bundle().sh("cat /sys/class/net/husk0/address").change(devices(json!({"husk0": {}})));
    let bundle = bundle.change(|spec| {
        spec.add_namespace("user", "");
        for map in ["uidMappings", "gidMappings"] {
            spec["linux"][map] = json!([{"containerID": 0, "hostID": 200_000, "size": 65_536}]);
        }
        spec["linux"]["sysctl"] = json!({"net.ipv4.conf.husk0.forwarding": "1"});
    });
    let Some(output) = run(&site, ADDRESSES, &bundle) else { return };
    output.succeeds().prints("02:00:00:00:00:09\n");
}

#[test]
fn what_is_set_for_a_device_finds_it() {
    let site = oci_site!();
    let bundle = site.bundle().sh("cat /proc/sys/net/ipv4/conf/inner/forwarding");
    let bundle = bundle.change(devices(json!({"husk0": {"name": "inner"}}))).change(|spec| {
        spec["linux"]["sysctl"] = json!({"net.ipv4.conf.inner.forwarding": "1"});
    });
    let Some(output) = run(&site, "true", &bundle) else { return };
    output.succeeds().prints("1\n");
}

#[test]
fn a_device_moves_into_a_namespace_that_is_joined() {
    let site = oci_site!();
    let mut holder = site.command("unshare").args(["--net", "sh", "-c", "echo up; read end"]).start();
    holder.wait_for("up");
    let path = format!("/proc/{}/ns/net", holder.pid());
    let bundle = site.bundle().sh("cat /sys/class/net/inner/address").change(|spec| {
        spec.remove_namespace("network");
        spec.add_namespace("network", &path);
    });
    let bundle = bundle.change(devices(json!({"husk0": {"name": "inner"}})));
    let Some(output) = run(&site, ADDRESSES, &bundle) else { return };
    output.succeeds().prints("02:00:00:00:00:09\n");
}

#[test]
fn a_device_that_cannot_move_is_an_error() {
    let site = oci_site!();
    let bundle = site.bundle().change(devices(json!({"husk9": {}})));
    let Some(output) = run(&site, "true", &bundle) else { return };
    assert!(output.code() != 0 && output.stderr.contains("husk9"), "{output}");
    // The loopback device stays in its namespace, and its name is taken in the other one.
    let bundle = site.bundle().change(devices(json!({"husk0": {"name": "lo"}})));
    let Some(output) = run(&site, "true", &bundle) else { return };
    assert_ne!(output.code(), 0, "{output}");
    let bundle = site.bundle().change(devices(json!({"lo": {"name": "inner"}})));
    let Some(output) = run(&site, "true", &bundle) else { return };
    assert_ne!(output.code(), 0, "{output}");
}
