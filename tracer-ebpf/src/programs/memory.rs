//! Zeroes and copies structs in 8-byte words. The writes are volatile: otherwise LLVM replaces them
//! by a memset or memcpy that loops over bytes. Keeps a value's bounds where the verifier sees them.

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

/// Hides `value` from LLVM. Otherwise LLVM may move a bounds check into the caller or merge two
/// checks. The verifier tracks each register on its own, and then rejects the access.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(crate) fn opaque(mut value: u64) -> u64 {
    // SAFETY: the instruction moves a register into itself.
    unsafe {
        core::arch::asm!("{0} = {0}", inout(reg) value, options(pure, nomem, nostack));
    }
    value
}

/// For the lints, which check the programs as built for the host.
#[cfg(not(target_arch = "bpf"))]
pub(crate) const fn opaque(value: u64) -> u64 {
    value
}
