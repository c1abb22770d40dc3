//! Zeroes and copies structs in 8-byte words. The writes are volatile: otherwise LLVM replaces them
//! by a memset or memcpy that loops over bytes.

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
