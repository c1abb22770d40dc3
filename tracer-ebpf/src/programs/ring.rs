//! The way out of the programs: reserve a record in a ring buffer, fill it in place, submit it. Where there is no
//! room, count the record as lost.
//!
//! From Linux 6.12 on there are two. A record is written where another was a whole turn of the ring ago, so the ring
//! that is always in use must fit into the processors' caches: with 256 KiB instead of 4 MiB, 5 to 7 % more connections
//! are traced in the same time. Such a small ring is full within milliseconds, and the tracer may have to wait longer
//! for a processor. The large one takes what comes then.

use core::ptr::addr_of_mut;

use aya_ebpf::{
    Global,
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::bpf_ktime_get_ns,
    macros::map,
    maps::{PerCpuArray, RingBuf, ring_buf::RingBufEntry},
};
use tracer_ebpf::record::{Header, LOST_RECORDS, LOST_SOCKETS, MADE_UP, OVERFLOWED};

/// The loader sets the size of both.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(256 << 10, 0);

/// What `EVENTS` has no room for.
#[map]
static OVERFLOW: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// Whether `OVERFLOW` is used.
#[unsafe(no_mangle)]
static HAS_OVERFLOW: Global<u8> = Global::new(0);

/// Per CPU: [`LOST_RECORDS`], [`LOST_SOCKETS`], [`MADE_UP`] and [`OVERFLOWED`]. The tracer reads them whenever it has
/// drained the rings.
#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(4, 0);

/// With `AUDIT`, how many records were sent, per CPU.
#[map]
static EMITTED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Whether to count every record.
#[unsafe(no_mangle)]
static AUDIT: Global<u8> = Global::new(0);

/// The tracer drains the rings on a timer. It is woken only when this many bytes wait in `EVENTS`: half of it.
#[unsafe(no_mangle)]
static WAKE_AT_BYTES: Global<u64> = Global::new(128 << 10);

/// Records of at most so many bytes are small: half of the smallest ring has room for some.
const SMALL: usize = 512;

/// Reserves a record of type `T` and writes its header, with the present time. The caller writes every
/// other field, then calls [`send`].
#[inline(always)]
pub(crate) fn reserve<T: 'static>(kind: u16, cookie: u64) -> Option<RingBufEntry<T>> {
    // SAFETY: a helper without arguments.
    reserve_with(kind, cookie, || unsafe { bpf_ktime_get_ns() })
}

/// The same with a time that was read before, which is cheaper than to read the clock again.
#[inline(always)]
pub(crate) fn reserve_at<T: 'static>(
    kind: u16,
    cookie: u64,
    mono_ns: u64,
) -> Option<RingBufEntry<T>> {
    reserve_with(kind, cookie, || mono_ns)
}

#[inline(always)]
fn reserve_with<T: 'static>(
    kind: u16,
    cookie: u64,
    mono_ns: impl FnOnce() -> u64,
) -> Option<RingBufEntry<T>> {
    let Some(mut entry) = EVENTS.reserve::<T>(0).or_else(overflow) else {
        count(&LOST, LOST_RECORDS);
        return None;
    };
    let header = entry.as_mut_ptr().cast::<Header>();
    // SAFETY: the entry has `size_of::<T>()` bytes, and each record starts with its header.
    unsafe {
        // The padding with it.
        addr_of_mut!((*header).kind)
            .cast::<u64>()
            .write(u64::from(kind).to_le());
        addr_of_mut!((*header).mono_ns).write(mono_ns());
        addr_of_mut!((*header).cookie).write(cookie);
    }
    Some(entry)
}

/// Reserves a record where `EVENTS` is full. Counts it first: what the tracer has not seen counted is later than its look
/// at the count.
#[inline(always)]
fn overflow<T: 'static>() -> Option<RingBufEntry<T>> {
    if HAS_OVERFLOW.load() == 0 {
        return None;
    }
    count(&LOST, OVERFLOWED);
    OVERFLOW.reserve::<T>(0)
}

/// Submits a filled record.
#[inline(always)]
pub(crate) fn send<T>(mut entry: RingBufEntry<T>) {
    let wake =
        if asks(&mut entry) && EVENTS.query(u64::from(BPF_RB_AVAIL_DATA)) >= WAKE_AT_BYTES.load() {
            BPF_RB_FORCE_WAKEUP
        } else {
            BPF_RB_NO_WAKEUP
        };
    entry.submit(u64::from(wake));
    // Not where the record is reserved: Linux 6.1 takes states of the verifier for different once they hold records that
    // were reserved on different ways, and would follow the rest of the program anew for each way through here.
    if AUDIT.load() != 0 {
        count(&EMITTED, 0);
    }
}

/// Whether this record asks how much waits. That takes a third of what sending does, so of small records one in eight
/// asks, whichever comes within the first of eight times 64 ns.
#[inline(always)]
fn asks<T>(entry: &mut RingBufEntry<T>) -> bool {
    if size_of::<T>() > SMALL {
        return true;
    }
    // SAFETY: each record starts with its header, which was written when it was reserved.
    let mono_ns = unsafe { addr_of_mut!((*entry.as_mut_ptr().cast::<Header>()).mono_ns).read() };
    (mono_ns >> 6) & 7 == 0
}

/// Counts a socket, or a process, that a map had no room for.
#[inline(always)]
pub(crate) fn count_lost_socket() {
    count(&LOST, LOST_SOCKETS);
}

/// Counts an event that a second program records.
#[inline(always)]
pub(crate) fn count_made_up() {
    count(&LOST, MADE_UP);
}

/// Adds one, atomically: the program may be interrupted on its own CPU by another that counts the
/// same (an arriving segment interrupts a leaving one).
#[inline(always)]
pub(crate) fn count(counts: &PerCpuArray<u64>, what: u32) {
    if let Some(counted) = counts.get_ptr_mut(what) {
        // SAFETY: an element of this CPU's own array, aligned as the kernel aligns values.
        unsafe { add_one(counted) };
    }
}

/// `AtomicU64::fetch_add`, which Rust does not offer for this target: it has no compare-and-swap on
/// every CPU version.
///
/// # Safety
/// `counted` must be valid and aligned.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn add_one(counted: *mut u64) {
    use core::intrinsics::{AtomicOrdering::Relaxed, atomic_xadd};
    // SAFETY: as the caller promises.
    unsafe { atomic_xadd::<u64, u64, { Relaxed }>(counted, 1) };
}

/// For the lints, which check the programs as built for the host.
///
/// # Safety
/// `counted` must be valid and aligned.
#[cfg(not(target_arch = "bpf"))]
unsafe fn add_one(counted: *mut u64) {
    use core::sync::atomic::{AtomicU64, Ordering};
    // SAFETY: as the caller promises.
    unsafe { AtomicU64::from_ptr(counted) }.fetch_add(1, Ordering::Relaxed);
}
