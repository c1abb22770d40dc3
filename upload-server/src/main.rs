//! The `upload-server` command: read the command line, open everything, announce it, serve, clean up.

mod bind;
mod reload;
mod signals;

use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::Parser;
use mimalloc::MiMalloc;
use tokio::runtime::{self, Runtime};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};
use upload_server::{
    options::{Options, UsageError},
    server, stderr,
};

use crate::bind::{ReadyServer, listeners};

/// The chunks of a body are freed on another thread than the one that received them. glibc's
/// allocator returns such memory to the kernel and takes it again: a page fault every 4 KiB, a seventh
/// of the CPU time of an upload.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// mimalloc's number for its option `purge_delay`, which has no name in Rust.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// mimalloc keeps freed memory for a second. While many bodies arrive, that is twice the memory for
/// the same CPU time.
const PURGE_DELAY_MS: i64 = 10;

fn main() -> ExitCode {
    let options = Options::parse();
    return_memory_early();
    log_to_stderr();
    bind::raise_descriptor_limit();
    match serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stderr::message(&format!("upload-server: {error:#}"));
            if error.is::<UsageError>() {
                ExitCode::from(UsageError::EXIT_STATUS)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

#[expect(
    unsafe_code,
    reason = "the allocator's own function, without a safe name"
)]
fn return_memory_early() {
    // SAFETY: there is no other thread yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MS) };
}

fn serve(options: &Options) -> anyhow::Result<()> {
    let passed = listeners::passed()?;
    runtime()?.block_on(async {
        let requested = signals::listen(options.grace)?;
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
        let reloads = reload::each(options, config.tls.clone(), &requested.reload);
        let served = server::run(listeners, control, config, stop, stop_now);
        tokio::select! {
            served = served => Ok(served?),
            never = reloads => match never {},
        }
    })
}

// It accepts connections and answers tracers. Connections are served by threads of their own.
fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread()
        // Tools name a process's work after the thread that does it: by default, `tokio-rt-worker`.
        .thread_name("upload-server")
        .enable_all()
        .build()
}

fn log_to_stderr() {
    let wanted = env::var("RUST_LOG").ok();
    let targets: Targets = wanted
        .and_then(|targets| targets.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| stderr::Log)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(targets)
        .init();
}

#[cfg(test)]
mod tests {
    use xtask::documents::{check, commands};

    use upload_server::options::Options;

    #[test]
    fn the_commands_in_the_documents_are_understood() {
        check::<Options>(&commands("upload-server").unwrap()).unwrap();
    }

    /// A number without a name may be another option's in another version.
    #[test]
    #[expect(
        unsafe_code,
        reason = "the allocator's own function, without a safe name"
    )]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: reads a number.
        let default_ms = unsafe { libmimalloc_sys::mi_option_get(super::PURGE_DELAY) };
        assert_eq!(default_ms, 1000);
    }
}
