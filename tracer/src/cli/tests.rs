//! What the command line understands, and how its help looks.

use clap::CommandFactory as _;

use super::{Cli, cookie};

#[test]
fn cookies() {
    let check = |text, expected: Option<u64>| assert_eq!(cookie(text).ok(), expected, "{text}");
    check("4263", Some(4263));
    check("sk:10a7", Some(0x10a7));
    check("sk:1001", Some(0x1001));
    check("0x1001", Some(0x1001));
    check("0X10A7", Some(0x10a7));
    check("10a7", Some(0x10a7));
    check("1001", Some(1001));
    check("ffffffffffffffff", Some(u64::MAX));
    for wrong in [
        "",
        "0",
        "sk:0",
        "sk:",
        "0x",
        "-1",
        "+1",
        "1.5",
        "xyz",
        "sk:sk:1",
        "0x0x1",
        "18446744073709551616",
        "sk:10000000000000000",
    ] {
        check(wrong, None);
    }
}

#[test]
fn the_long_version_names_the_record_layout() {
    let version = Cli::command().render_long_version();
    let layout = format!("record layout {}\n", tracer_ebpf::record::VERSION);
    assert!(version.starts_with("tracer "), "{version}");
    assert!(version.ends_with(&layout), "{version}");
}

const MAX_COLUMNS: usize = 100;

#[test]
fn every_help_fits_the_columns() {
    let mut tracer = Cli::command();
    tracer.build();
    check(&mut tracer);
    for subcommand in tracer.get_subcommands_mut() {
        check(subcommand);
    }
}

fn check(command: &mut clap::Command) {
    for help in [command.render_help(), command.render_long_help()] {
        for line in help.to_string().lines() {
            let columns = line.chars().count();
            assert!(columns <= MAX_COLUMNS, "{columns} columns: {line}");
        }
    }
}
