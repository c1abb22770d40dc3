//! nginx as one process, as quick as it can be made: no log, and all its files beneath one
//! directory.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

/// nginx with `http` in its block of that name, and `home` for its files.
pub(super) fn nginx(home: &Path, http: &str) -> Result<Command> {
    let home_text = home.to_str().context("a path that is not UTF-8")?;
    let configuration = format!(
        "daemon off; master_process off; worker_processes 1;
         pid {home_text}/nginx.pid; error_log /dev/null crit;
         events {{ worker_connections 1024; }}
         http {{
           access_log off;
           client_body_temp_path {home_text}/bodies;
           proxy_temp_path {home_text}/proxy; fastcgi_temp_path {home_text}/fastcgi;
           uwsgi_temp_path {home_text}/uwsgi; scgi_temp_path {home_text}/scgi;
           {http}
         }}\n"
    );
    let file = home.join("nginx.conf");
    fs::write(&file, configuration)?;
    let mut command = Command::new("nginx");
    command
        .arg("-p")
        .arg(home)
        .args(["-e", "/dev/null", "-c"])
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(command)
}
