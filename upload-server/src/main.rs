//! The `upload-server` command: read the command line, open everything, announce it, serve, clean up.

mod bind;
mod options;
mod signals;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::Parser;
#[cfg(target_env = "gnu")]
use tikv_jemallocator::Jemalloc;
use tokio::runtime::{self, Runtime};
use tracing_subscriber::EnvFilter;
use upload_server::server;

use crate::{
    bind::{ReadyServer, listeners},
    options::{Options, UsageError},
};

// The chunks of a body are freed on another thread than the one that received them. glibc's
// allocator returns such memory to the kernel and takes it again: a page fault every 4 KiB, a seventh of
// the CPU time of an upload. mimalloc was as fast as jemalloc, but with twice the memory.
// Builds for musl keep musl's allocator: building jemalloc would need a C compiler for musl.
#[cfg(target_env = "gnu")]
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    log_to_stderr();
    bind::raise_descriptor_limit();
    match serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without stderr, the exit status has to do.
            let _ = writeln!(io::stderr(), "upload-server: {error:#}");
            if error.is::<UsageError>() {
                ExitCode::from(UsageError::EXIT_STATUS)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn serve(options: &Options) -> anyhow::Result<()> {
    let passed = listeners::passed()?;
    runtime()?.block_on(async {
        let requested = signals::listen()?;
        let ready = ReadyServer::open(options, passed)?;
        ready.announce();
        let ReadyServer {
            listeners,
            control,
            config,
            control_socket: _control_socket,
            ..
        } = ready;
        let (stop, stop_now) = (requested.stop.cancelled(), requested.stop_now.cancelled());
        server::run(listeners, control, config, stop, stop_now).await?;
        Ok(())
    })
}

// Tools name a process's work after the thread that does it: by default, `tokio-rt-worker`.
fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_multi_thread()
        .thread_name("upload-server")
        .enable_all()
        .build()
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}
