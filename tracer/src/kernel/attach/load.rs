//! Loads programs beside each other: verifying them is most of the time until the tracer is attached, and the kernel
//! verifies each by itself.

use std::{
    collections::HashMap,
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, CgroupSkb, CgroupSock, FEntry, Program},
};
use tracer_ebpf::hook::{HOOKS, Hook, Point};

use super::{Failure, typed};

/// What became of each program that was to be loaded, by its name.
pub(super) type Loaded = HashMap<&'static str, Result<(), Failure>>;

/// Loads the programs of these hooks, as many at a time as there are processors.
pub(super) fn at_once(ebpf: &mut Ebpf, btf: &Btf, is_wanted: impl Fn(&Hook) -> bool) -> Loaded {
    let wanted = HOOKS.iter().filter(|hook| is_wanted(hook));
    let wanted: HashMap<&str, &'static Hook> = wanted.map(|hook| (hook.program, hook)).collect();
    let programs = ebpf.programs_mut();
    let mut programs: Vec<(&Hook, &mut Program)> = programs
        .filter_map(|(name, program)| Some((*wanted.get(name)?, program)))
        .collect();
    // From the end. What takes the longest comes first, or it would be left to one processor at the end.
    programs.sort_by_key(|(hook, _)| (hook.point.is_segments(), is_of_state(hook)));
    let at_once = thread::available_parallelism().map_or(1, Into::into);
    let at_once = at_once.min(programs.len());
    let waiting = Mutex::new(programs);
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop()
    };
    let load_each = || {
        let mut loaded = Loaded::new();
        while let Some((hook, program)) = next() {
            loaded.insert(hook.program, load(program, hook.point, btf));
        }
        loaded
    };
    thread::scope(|scope| {
        let beside: Vec<_> = (1..at_once).map(|_| scope.spawn(load_each)).collect();
        let mut loaded = load_each();
        for thread in beside {
            loaded.extend(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        loaded
    })
}

/// Whether it observes changes of state. These programs take longer than others, and those of segments the longest.
fn is_of_state(hook: &Hook) -> bool {
    hook.tracepoint() == Some("inet_sock_set_state")
}

/// Loads a program for its hook.
pub(super) fn load(program: &mut Program, point: Point, btf: &Btf) -> Result<(), Failure> {
    match point {
        Point::Tracepoint(name) => typed::<BtfTracePoint>(program)?.load(name, btf)?,
        Point::Function(name) => typed::<FEntry>(program)?.load(name, btf)?,
        Point::CgroupIngress | Point::CgroupEgress => typed::<CgroupSkb>(program)?.load()?,
        Point::CgroupRelease => typed::<CgroupSock>(program)?.load()?,
    }
    Ok(())
}
