//! Decides whether live tracing is a part of the tracer, and then provides the eBPF programs for it.

#[cfg(feature = "live")]
#[path = "build/nightly.rs"]
mod nightly;
#[cfg(feature = "live")]
#[path = "build/packed.rs"]
mod packed;
#[cfg(feature = "live")]
#[path = "build/programs.rs"]
mod programs;
#[cfg(feature = "live")]
#[path = "build/source.rs"]
mod source;

use anyhow::Result;

fn main() -> Result<()> {
    println!("cargo::rustc-check-cfg=cfg(live)");
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "live")]
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-cfg=live");
        println!("cargo::rerun-if-changed=build");
        programs::put()?;
    }
    Ok(())
}
