//! The tracer on the running kernel: real programs, real sockets, real curl. Each test has a
//! network namespace of its own, and they run one after another: what is attached is machine-wide.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod blocked;
mod browser;
mod captures;
mod cgroups;
mod churn;
mod clients;
mod command;
mod connected_again;
mod containers;
mod course;
mod doctor;
mod documents;
mod early_payload;
mod endings;
mod endless;
mod errors;
mod exchanges;
mod explained;
mod failures;
mod files;
mod filters;
mod follow;
mod found_server;
mod full_disk;
mod gave_up;
mod handed_over;
mod heads;
mod held_back;
mod hidden;
mod hops;
mod kept_open;
mod kept_rights;
mod lab;
mod listened;
mod loaded;
mod loading;
mod loss;
mod metrics;
mod mptcp;
mod netem;
mod openings;
mod otlp;
mod owners;
mod passed_to;
mod phases;
mod pid_namespaces;
mod privileges;
mod raw_peer;
mod recording;
mod report;
mod resets;
mod roles;
mod samples;
mod sockets;
mod states;
mod top;
mod trace;
mod translated;
mod two_captures;
mod two_namespaces;
mod unload;
mod unmatched;
mod uploads;
mod web;
mod wire;
