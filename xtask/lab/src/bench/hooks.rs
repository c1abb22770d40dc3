//! Empty programs at the tracer's hooks: what the kernel takes for calling them, the least that any
//! tracer at these hooks can cost.

use std::fs::{File, read_to_string};

use anyhow::{Context as _, Result, bail};
use aya::{
    Btf, Ebpf,
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock, Program,
    },
};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
    write::{Object, Symbol, SymbolSection},
};

/// As in the table.
pub(crate) const NAME: &str = "empty programs at its hooks";

const TRACEPOINTS: [&str; 3] = [
    "inet_sock_set_state",
    "tcp_rcv_space_adjust",
    "sock_send_length",
];
const SEGMENTS: [(&str, CgroupSkbAttachType); 2] = [
    ("ingress", CgroupSkbAttachType::Ingress),
    ("egress", CgroupSkbAttachType::Egress),
];
const RELEASE: &str = "release";

/// `r0 = 1`, which lets a packet pass, and `exit`.
const PASS: [u8; 16] = [0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
/// `r0 = 0`, which a tracepoint's program has to return, and `exit`.
const NOTHING: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

/// Dropped, they are detached.
pub(crate) struct Hooks {
    attached: Ebpf,
}

impl Hooks {
    /// Attaches them.
    pub(crate) fn attach() -> Result<Self> {
        let mut ebpf = Ebpf::load(&programs()?).context("empty programs cannot be loaded")?;
        let btf = Btf::from_sys_fs()?;
        for tracepoint in TRACEPOINTS {
            let program: &mut BtfTracePoint = named(&mut ebpf, tracepoint)?.try_into()?;
            program.load(tracepoint, &btf)?;
            program.attach()?;
        }
        let cgroup = root_cgroup()?;
        for (name, direction) in SEGMENTS {
            let program: &mut CgroupSkb = named(&mut ebpf, name)?.try_into()?;
            program.load()?;
            program.attach(&cgroup, direction, CgroupAttachMode::Single)?;
        }
        let program: &mut CgroupSock = named(&mut ebpf, RELEASE)?.try_into()?;
        program.load()?;
        program.attach(&cgroup, CgroupAttachMode::Single)?;
        Ok(Self { attached: ebpf })
    }

    /// Detaches them.
    pub(crate) fn detach(self) {
        drop(self.attached);
    }
}

fn named<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    ebpf.program_mut(name)
        .with_context(|| format!("there is no program {name}"))
}

/// An object file as a compiler would make it: a section and a symbol for each program.
fn programs() -> Result<Vec<u8>> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let mut add = |section: String, name: &str, code: [u8; 16]| {
        let section = object.add_section(Vec::new(), section.into_bytes(), SectionKind::Text);
        let value = object.append_section_data(section, &code, 8);
        object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value,
            size: code.len() as u64,
            kind: SymbolKind::Text,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
    };
    for tracepoint in TRACEPOINTS {
        add(format!("tp_btf/{tracepoint}"), tracepoint, NOTHING);
    }
    for (name, _) in SEGMENTS {
        add(format!("cgroup_skb/{name}"), name, PASS);
    }
    add("cgroup/sock_release".to_owned(), RELEASE, PASS);
    Ok(object.write()?)
}

/// Every socket of the machine is in it.
fn root_cgroup() -> Result<File> {
    let mounts = read_to_string("/proc/self/mounts")?;
    let root = mounts.lines().find_map(|mount| {
        let mut fields = mount.split(' ').skip(1);
        let (at, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then_some(at)
    });
    match root {
        Some(root) => File::open(root).with_context(|| format!("{root} cannot be opened")),
        None => bail!("no cgroup2 is mounted: there is nowhere to attach programs for segments"),
    }
}

#[cfg(test)]
mod tests {
    use super::Hooks;

    #[test]
    fn empty_programs_are_attached() {
        if !xtask::command::is_root() {
            eprintln!("skipped: only root attaches programs");
            return;
        }
        Hooks::attach().unwrap();
    }
}
