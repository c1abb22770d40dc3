//! The helpers of the kernel that no program can do without, looked up in its type information once the kernel has
//! refused a program: so one sentence names what an old kernel lacks.

use super::{AttachError, attach_error::release, btf::Btf};

/// A helper that tracing programs call (`include/uapi/linux/bpf.h`).
struct Helper {
    /// The function in the kernel that it is.
    function: &'static str,
    /// What programs do with it. Completes "has no …".
    what: &'static str,
    /// The first kernel that has it.
    since: &'static str,
}

/// From the oldest to the newest.
const REQUIRED: [Helper; 3] = [
    Helper {
        function: "bpf_sk_storage_get_tracing",
        what: "storage of sockets",
        since: "5.11",
    },
    Helper {
        function: "bpf_get_current_task_btf",
        what: "typed access to the current task",
        since: "5.11",
    },
    Helper {
        function: "bpf_get_socket_ptr_cookie",
        what: "cookies of sockets",
        since: "5.12",
    },
];

/// Why this kernel refuses programs, if it is that it lacks one.
pub(super) fn too_old(btf: &Btf<'_>) -> Option<AttachError> {
    let (what, since) = lacking(|function| btf.has_helper(function))?;
    Some(AttachError::TooOld {
        release: release(),
        what,
        since,
    })
}

/// What is lacking, and the first kernel that has all of it.
fn lacking(has: impl Fn(&str) -> bool) -> Option<(String, &'static str)> {
    let lacking = REQUIRED.iter().filter(|helper| !has(helper.function));
    let since = lacking.clone().next_back()?.since;
    let what: Vec<&str> = lacking.map(|helper| helper.what).collect();
    let what = match &*what {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        what => what.concat(),
    };
    Some((what, since))
}

#[cfg(test)]
mod tests {
    use super::{REQUIRED, lacking};

    #[test]
    fn what_is_lacking_is_named() {
        let check = |had: usize, expected: Option<(&str, &str)>| {
            let had = &REQUIRED[..had];
            let found = lacking(|name| had.iter().any(|helper| helper.function == name));
            let found = found.as_ref().map(|(what, since)| (&**what, *since));
            assert_eq!(found, expected);
        };
        check(3, None);
        check(2, Some(("cookies of sockets", "5.12")));
        check(
            1,
            Some((
                "typed access to the current task and cookies of sockets",
                "5.12",
            )),
        );
        check(
            0,
            Some((
                "storage of sockets, typed access to the current task and cookies of sockets",
                "5.12",
            )),
        );
    }
}
