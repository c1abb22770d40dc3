//! Which tests: all, or as many as CI has the time for.

use anyhow::{Result, bail};

use super::report::EVERYTHING_RESTS_ON;

/// Tests of what differs between kernels: how a connection begins, ends and fails, which process
/// acts on it, the contents of segments and cgroups, and netem, which only the virtual machines
/// have.
const CI: [&str; 17] = [
    "loading::",
    "privileges::three_capabilities_suffice",
    "states::a_refused_connection_has_its_reason",
    "states::both_ends_equal_the_kernels_own_trace",
    "uploads::one_upload_from_syn_to_last_ack",
    "handed_over::a_connection_that_was_open_already",
    "sockets::each_end_has_its_cookie_its_addresses_and_its_holder",
    "netem::",
    "held_back::netem_",
    "endings::a_socket_released_before_the_fin_came",
    "heads::a_head_is_read_to_its_end_on_a_kept_connection",
    "pid_namespaces::a_command_has_its_id_in_the_container_and_a_process_outside_has_none",
    "failures::nobody_answers",
    "failures::the_server_does_not_accept",
    "filters::a_command_and_its_descendants_and_nothing_else",
    "cgroups::a_sockets_cgroup_has_the_name_that_its_process_is_in",
    "wire::a_plain_upload",
];

/// Every test, the one that all rest on first.
pub(super) fn all(names: &[String]) -> Vec<String> {
    let (mut first, rest): (Vec<String>, Vec<String>) = names
        .iter()
        .cloned()
        .partition(|name| name == EVERYTHING_RESTS_ON);
    first.extend(rest);
    first
}

/// The tests whose names contain one of these.
pub(super) fn containing(names: &[String], parts: &[String]) -> Result<Vec<String>> {
    let nobodys = parts
        .iter()
        .find(|part| !names.iter().any(|name| name.contains(*part)));
    if let Some(part) = nobodys {
        bail!("no test's name contains {part}: `cargo xtask test` names them");
    }
    let mut found = all(names);
    found.retain(|name| parts.iter().any(|part| name.contains(part)));
    Ok(found)
}

/// The tests that CI runs, in the order of `CI`, after the one that all rest on. Each line of `CI` must still match a test.
pub(super) fn of_ci(names: &[String]) -> Result<Vec<String>> {
    let mut chosen = Vec::new();
    for line in CI {
        let before = chosen.len();
        chosen.extend(names.iter().filter(|name| name.starts_with(line)).cloned());
        if chosen.len() == before {
            bail!(
                "there is no test {line} any more: name another in {}",
                file!()
            );
        }
    }
    Ok(all(&chosen))
}

#[cfg(test)]
mod tests {
    use super::{CI, EVERYTHING_RESTS_ON, all, containing, of_ci};

    #[test]
    fn what_all_rests_on_comes_first() {
        let first = EVERYTHING_RESTS_ON;
        let names = ["cgroups::a", "loading::b", first, "wire::c"].map(str::to_owned);
        let ordered = [first, "cgroups::a", "loading::b", "wire::c"];
        assert_eq!(all(&names), ordered);
        let of = |parts: &[&str]| {
            let parts: Vec<String> = parts.iter().copied().map(str::to_owned).collect();
            containing(&names, &parts)
        };
        assert_eq!(of(&["::c"]).unwrap(), ["wire::c"]);
        assert_eq!(of(&["::c", "loads"]).unwrap(), [first, "wire::c"]);
        assert!(of(&["::c", "::d"]).is_err());
    }

    #[test]
    fn a_line_without_a_test_is_reported() {
        let mut names: Vec<String> = CI.iter().map(|line| format!("{line}x")).collect();
        names.push("other::y".to_owned());
        let chosen = of_ci(&names).unwrap();
        assert_eq!(chosen, names[..CI.len()]);
        assert!(of_ci(&names[1..]).is_err());
    }
}
