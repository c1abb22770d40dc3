//! Structs of 8-byte words, written a word at a time. Volatile, because the optimiser would else
//! call a memset or memmove that loops over bytes.

/// Fills `into` with zeroes.
///
/// # Safety
/// `into` must be valid for writes and aligned to 8 bytes.
#[inline(always)]
pub(crate) unsafe fn zero<T>(into: *mut T) {
    const { assert!(size_of::<T>().is_multiple_of(8)) };
    let into = into.cast::<u64>();
    let mut word = 0;
    while word < size_of::<T>() / 8 {
        // SAFETY: as the caller promises.
        unsafe { into.add(word).write_volatile(0) };
        word += 1;
    }
}

/// Copies `from` to `into`.
///
/// # Safety
/// Both must be valid and aligned to 8 bytes.
#[inline(always)]
pub(crate) unsafe fn copy<T>(from: *const T, into: *mut T) {
    const { assert!(size_of::<T>().is_multiple_of(8)) };
    let (from, into) = (from.cast::<u64>(), into.cast::<u64>());
    let mut word = 0;
    while word < size_of::<T>() / 8 {
        // SAFETY: as the caller promises.
        unsafe { into.add(word).write_volatile(from.add(word).read()) };
        word += 1;
    }
}
