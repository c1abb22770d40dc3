//! Lines for stderr that wait while a view has the terminal: they would tear it.

use std::sync::{Mutex, PoisonError};

/// Bytes that wait; more lines are left out.
const MAX_BYTES: usize = 64 << 10;

/// `None` while lines go to stderr.
static HELD: Mutex<Option<Held>> = Mutex::new(None);

#[derive(Debug, Default)]
pub struct Held {
    pub lines: String,
    /// How many pieces of text found no room.
    pub left_out: u64,
}

/// From now on lines wait.
pub fn hold() {
    HELD.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_default();
}

/// From now on lines go to stderr; gives those that waited.
pub fn release() -> Option<Held> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Whether the lines wait.
pub fn keep(lines: &str) -> bool {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(held) = &mut *held else {
        return false;
    };
    if held.lines.len() + lines.len() <= MAX_BYTES {
        held.lines.push_str(lines);
    } else {
        held.left_out += 1;
    }
    true
}

/// The latest line that waits.
pub fn latest() -> Option<String> {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    held.as_ref()?.lines.lines().next_back().map(str::to_owned)
}
