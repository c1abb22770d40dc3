//! Kernel structs by the places of their members. The loader finds the places in the kernel's BTF
//! and writes them into a global per entry of [`tracer_ebpf::members!`].

use core::{
    ffi::c_void,
    ptr::{null, read_volatile},
};

use aya_ebpf::{Global, helpers::generated::bpf_probe_read_kernel};
use tracer_ebpf::member::Place;

macro_rules! globals {
    ($($name:ident $of:literal $path:literal $loses:expr;)*) => {
        $(#[unsafe(no_mangle)]
        pub(crate) static $name: Global<u32> = Global::new(Place::ABSENT.to_bits());)*
    };
}

tracer_ebpf::members!(globals);

/// A pointer to a kernel struct whose type the verifier knows from BTF. The verifier checks that each
/// load is of a member, and a fault reads as zero.
#[derive(Clone, Copy)]
pub(crate) struct Pointer(*const c_void);

impl Pointer {
    /// # Safety
    /// `raw` must be a tracepoint's argument, a helper's result or a pointer loaded from either.
    #[inline(always)]
    pub(crate) const unsafe fn new(raw: *const c_void) -> Self {
        Self(raw)
    }

    #[inline(always)]
    pub(crate) const fn as_ptr(self) -> *const c_void {
        self.0
    }

    #[inline(always)]
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The member at `place`, or all zero bits where the kernel lacks it.
    #[inline(always)]
    pub(crate) fn load<T: Plain>(self, place: &Global<u32>) -> T {
        self.load_after(place, 0)
    }

    /// Like [`load`](Self::load), `extra` bytes further on.
    #[inline(always)]
    pub(crate) fn load_after<T: Plain>(self, place: &Global<u32>, extra: usize) -> T {
        let place = Place::from_bits(place.load());
        if !place.exists() {
            return T::ZERO;
        }
        // SAFETY: the verifier refuses the program unless the bytes are a member of the struct
        // that `self` points to, and `Plain` types are valid for every bit pattern.
        unsafe { read_volatile(self.0.byte_add(place.offset() + extra).cast::<T>()) }
    }

    /// Whether this kernel has the member at `place`.
    #[inline(always)]
    pub(crate) fn has(place: &Global<u32>) -> bool {
        Place::from_bits(place.load()).exists()
    }

    /// The bit-field at `place`.
    #[inline(always)]
    pub(crate) fn load_bits(self, place: &Global<u32>) -> u8 {
        let byte = self.load::<u8>(place);
        Place::from_bits(place.load()).extract(byte)
    }

    /// The struct that is the member at `place`.
    #[inline(always)]
    pub(crate) fn inner(self, place: &Global<u32>) -> Self {
        let place = Place::from_bits(place.load());
        // SAFETY: only an address is computed; loads through it are checked as in `load_after`.
        Self(unsafe { self.0.byte_add(place.offset()) })
    }

    /// The pointer stored in the member at `place`.
    #[inline(always)]
    pub(crate) fn follow(self, place: &Global<u32>) -> Self {
        let place = Place::from_bits(place.load());
        if !place.exists() {
            return Self(null());
        }
        // SAFETY: as in `load_after`; the verifier tracks the loaded pointer's own type.
        Self(unsafe { read_volatile(self.0.byte_add(place.offset()).cast::<*const c_void>()) })
    }
}

/// Where the member at `place` begins.
#[inline(always)]
pub(crate) fn offset(place: &Global<u32>) -> u64 {
    Place::from_bits(place.load()).offset() as u64
}

/// Reads kernel memory whose type the verifier does not know; 0 where that faults.
#[inline(always)]
pub(crate) fn read<T: Plain>(address: u64) -> T {
    let mut value = T::ZERO;
    // SAFETY: the helper writes `size_of::<T>()` bytes, zeros on a fault.
    unsafe {
        bpf_probe_read_kernel(
            (&raw mut value).cast(),
            size_of::<T>() as u32,
            address as *const c_void,
        );
    }
    value
}

/// Integers, which are valid for every bit pattern.
pub(crate) trait Plain: Copy {
    /// What a missing member reads as.
    const ZERO: Self;
}

impl Plain for u8 {
    const ZERO: Self = 0;
}
impl Plain for u16 {
    const ZERO: Self = 0;
}
impl Plain for u32 {
    const ZERO: Self = 0;
}
impl Plain for u64 {
    const ZERO: Self = 0;
}
