//! The server over real sockets. Nothing waits for time to pass: each test awaits the event it is
//! about, within a limit that only a failure reaches.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod access;
mod broken;
mod browser;
mod client;
mod clock_jump;
mod coding;
mod control;
mod cross_site;
mod digest;
mod disk;
mod downloads;
mod duplicate;
mod early_refusals;
mod events;
#[cfg(target_arch = "x86_64")]
mod faults;
mod feed;
mod few_descriptors;
mod floods;
mod folder;
mod form;
mod form_clients;
mod form_names;
mod form_parts;
mod forwarded;
mod guard;
mod held;
mod history;
mod hops;
mod http2;
mod integrity;
mod killed;
mod lan;
mod leftover;
mod limits;
mod links;
mod memory_per_byte;
mod much_work;
mod operation;
mod origin;
mod page;
mod preconditions;
mod process;
mod programs;
mod proxies;
mod proxy;
mod put;
mod put_names;
mod random;
mod readme;
mod refused;
mod secret_query;
mod service;
mod shutdown;
mod slow;
mod small_segments;
mod stuck;
mod test_server;
mod timeline;
mod tls;
mod tus;
mod tus_client;
mod tus_fields;
mod tus_parallel;
mod tus_python;
mod unfinished;
