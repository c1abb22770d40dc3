//! What this kernel has of what the programs use, from its type information alone: no capability is
//! needed to read that.

use super::{AttachError, attach::GROUND, btf, layout::Layout, missing::tracepoints};
use crate::core::input::Missing;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// Each tracepoint, and where it is not there what stays unknown.
    pub tracepoints: Vec<(&'static str, Option<String>)>,
    /// How many struct members are there.
    pub members: usize,
    /// The members that are not, and arguments of tracepoints.
    pub lacking: Vec<Missing>,
}

/// Looks it up.
///
/// # Errors
/// When there is no type information, or not the tracepoint that everything rests on.
pub fn inventory() -> Result<Inventory, AttachError> {
    let bytes = btf::read()?;
    let btf = btf::parse(&bytes)?;
    let layout = Layout::resolve(&btf);
    let has = |tracepoint| btf.tracepoint_arguments(tracepoint).is_some();
    if !has(GROUND) {
        return Err(AttachError::NoTracepoint {
            tracepoint: GROUND,
            release: super::attach_error::release(),
        });
    }
    let others = tracepoints().map(|name| {
        let lost = (!has(name)).then(|| Missing::tracepoint(name).lost);
        (name, lost)
    });
    Ok(Inventory {
        tracepoints: std::iter::once((GROUND, None)).chain(others).collect(),
        members: layout.globals().count() - layout.missing().count(),
        lacking: layout.lacking(),
    })
}
