// SPDX-License-Identifier: Apache-2.0
//! `pids`, `hugepageLimits`, `rdma`, `network` and `unified`.

use husk_spec::oci::Resources;

use super::{LimitError, List, Missing, Problem, error, set};

/// Less than 0 is no limit; 0 is one (specification 1.3), which lets nothing more than the first process be: as for runc 1.4 it is 1,
/// since version 2 makes no process in a cgroup that takes none.
pub(super) fn pids(resources: &Resources, list: &mut List) {
    let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) else { return };
    let value = if limit < 0 { "max".to_owned() } else { limit.max(1).to_string() };
    list.require("pids.max", value, "pids.limit");
}

pub(super) fn hugepages(resources: &Resources, list: &mut List) -> Result<(), LimitError> {
    let suffix = if list.is_v2() { "max" } else { "limit_in_bytes" };
    for (index, hugepages) in resources.hugepage_limits.iter().enumerate() {
        let field = format!("hugepageLimits[{index}]");
        let size = &hugepages.page_size;
        if !is_page_size(size) {
            let expected = "a size of huge pages, such as 64KB, 2MB, 1GB";
            let problem = Problem::Form { value: size.clone(), expected };
            return Err(error(&format!("{field}.pageSize"), problem));
        }
        let field = format!("{field}.limit");
        list.require(&format!("hugetlb.{size}.{suffix}"), hugepages.limit, &field);
        // Pages that are reserved count as well where the kernel can (Linux 5.7).
        list.push(&format!("hugetlb.{size}.rsvd.{suffix}"), hugepages.limit, &field, Missing::Skip);
    }
    Ok(())
}

fn is_page_size(size: &str) -> bool {
    let number = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The same file in both versions (`cgroup-v1/rdma.rst`).
pub(super) fn rdma(resources: &Resources, list: &mut List) -> Result<(), LimitError> {
    for (device, limits) in &resources.rdma {
        let field = format!("rdma[{device:?}]");
        if device.is_empty() || device.contains(char::is_whitespace) {
            let problem = Problem::Form { value: device.clone(), expected: "the name of a device" };
            return Err(error(&field, problem));
        }
        let handles = limits.hca_handles.map(|number| format!(" hca_handle={number}"));
        let objects = limits.hca_objects.map(|number| format!(" hca_object={number}"));
        if handles.is_none() && objects.is_none() {
            let text = "it needs hcaHandles, hcaObjects or both";
            return Err(error(&field, Problem::Contradiction(text)));
        }
        let words = handles.into_iter().chain(objects).collect::<String>();
        list.require("rdma.max", format!("{device}{words}"), &field);
    }
    Ok(())
}

pub(super) fn network(resources: &Resources, list: &mut List) -> Result<(), LimitError> {
    let Some(network) = &resources.network else { return Ok(()) };
    let class_id = set(network.class_id);
    if list.is_v2() {
        let text = "match the cgroup itself in nftables (socket cgroupv2) or attach a BPF program";
        let field = match (class_id.is_some(), network.priorities.is_empty()) {
            (false, true) => return Ok(()),
            (true, _) => "network.classID",
            (false, false) => "network.priorities",
        };
        return Err(error(field, Problem::OnlyV1(text)));
    }
    if let Some(class_id) = class_id {
        list.require("net_cls.classid", class_id, "network.classID");
    }
    for (index, interface) in network.priorities.iter().enumerate() {
        let field = format!("network.priorities[{index}]");
        if interface.name.is_empty() || interface.name.contains(char::is_whitespace) {
            let problem =
                Problem::Form { value: interface.name.clone(), expected: "the name of an interface" };
            return Err(error(&format!("{field}.name"), problem));
        }
        list.require("net_prio.ifpriomap", format!("{} {}", interface.name, interface.priority), &field);
    }
    Ok(())
}

/// Each line of a value is a write of its own: the files take one device or one word at a time.
pub(super) fn unified(resources: &Resources, list: &mut List) -> Result<(), LimitError> {
    for (file, value) in &resources.unified {
        let field = format!("unified[{file:?}]");
        if !list.is_v2() {
            return Err(error(&field, Problem::OnlyV2));
        }
        // A slash would leave the cgroup's directory.
        let is_file = file.split_once('.').is_some_and(|(controller, rest)| {
            !controller.is_empty() && !rest.is_empty() && !file.contains(['/', '\0'])
        });
        if !is_file {
            let expected = "the name of a file of a cgroup: CONTROLLER.PARAMETER";
            return Err(error(&field, Problem::Form { value: file.clone(), expected }));
        }
        for line in value.lines().filter(|line| !line.trim().is_empty()) {
            list.require(file, line, &field);
        }
    }
    Ok(())
}
