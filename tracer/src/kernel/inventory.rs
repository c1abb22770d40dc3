//! What this kernel has of what the programs use, from its type information alone: no capability is
//! needed to read that.

use tracer_ebpf::hook::{HOOKS, Hook, Need};

use super::{AttachError, Missing, attach_error::release, btf, layout::Layout};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// Each hook at a tracepoint, and whether this kernel has it.
    pub tracepoints: Vec<(&'static Hook, bool)>,
    /// How many struct members were found.
    pub members: usize,
    /// Members and arguments of tracepoints that were not.
    pub missing: Vec<Missing>,
}

/// # Errors
/// When there is no type information, or not the required tracepoint.
pub fn inventory() -> Result<Inventory, AttachError> {
    let bytes = btf::read()?;
    let btf = btf::parse(&bytes)?;
    let mut tracepoints = Vec::new();
    for hook in HOOKS {
        let Some(name) = hook.tracepoint() else {
            continue;
        };
        if matches!(hook.need, Need::SecondOf(_)) {
            continue;
        }
        let exists = btf.tracepoint_arguments(name).is_some();
        if !exists && hook.need == Need::Required {
            return Err(AttachError::NoTracepoint {
                hook,
                release: release(),
            });
        }
        tracepoints.push((hook, exists));
    }
    let layout = Layout::resolve(&btf);
    Ok(Inventory {
        tracepoints,
        members: layout.found(),
        missing: layout.missing(),
    })
}
