//! The `upload-server` command: read the command line, open everything, say so, serve, clean up.

mod bind;
mod descriptors;
mod options;
mod signals;
mod usage;

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
    options::Options,
    usage::{USAGE_STATUS, Usage},
};

/// The chunks of a body are freed on another thread than the one that received them. glibc's
/// allocator gives such memory back to the kernel and takes it again, a page fault every 4 KiB.
/// musl's builds keep their own, for jemalloc's needs a compiler for it.
#[cfg(target_env = "gnu")]
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    log_to_stderr();
    descriptors::raise_limit();
    match serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a stderr there is nobody to tell.
            let _ = writeln!(io::stderr(), "upload-server: {error:#}");
            match error.is::<Usage>() {
                true => ExitCode::from(USAGE_STATUS),
                false => ExitCode::FAILURE,
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
            control_socket: _socket_file,
            ..
        } = ready;
        let (stop, stop_now) = (requested.stop.cancelled(), requested.stop_now.cancelled());
        server::run(listeners, control, config, stop, stop_now).await?;
        Ok(())
    })
}

/// The kernel names a thread's work after the thread, so tools would call the server
/// `tokio-rt-worker`.
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
