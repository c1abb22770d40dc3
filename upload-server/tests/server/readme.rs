//! The commands in README.md work.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::{
    process::{PROGRAM, Running, control, tempdir},
    test_server::within_limit,
};

const README: &str = include_str!("../../README.md");
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The lines of code blocks that begin with this word.
fn commands(program: &str) -> Vec<&'static str> {
    let lines = README.lines().filter_map(|line| line.strip_prefix("    "));
    let commands: Vec<_> = lines
        .filter(|line| line.split(' ').next() == Some(program))
        .collect();
    assert!(!commands.is_empty(), "README.md has no {program}");
    commands
}

/// `--help` comes last, so that each option before it has to be known.
#[tokio::test]
async fn the_servers_options_exist() {
    for command in commands("upload-server") {
        let arguments = command.split(' ').skip(1).chain(["--help"]);
        let output = Command::new(PROGRAM).args(arguments).output();
        let output = within_limit(output).await.unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }
    let options = README.split('`').filter(|word| word.starts_with("--"));
    let help = Command::new(PROGRAM).arg("--help").output();
    let help = String::from_utf8(within_limit(help).await.unwrap().stdout).unwrap();
    for option in options {
        let option = option.split_whitespace().next().unwrap();
        assert!(help.contains(option), "{option} is in README.md alone");
    }
}

#[tokio::test]
async fn the_curl_commands_work() {
    let root = tempdir();
    fs::write(root.path().join("cat.png"), "cat").unwrap();
    let token = root.path().join("token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
    let plain_root = tempdir();
    let plain = Running::start_with(&["--history", "10"], plain_root.path()).await;
    let secure = ["--tls", "--token-file", token.to_str().unwrap()];
    let secure_root = tempdir();
    let secure = Running::start_with(&secure, secure_root.path()).await;

    for command in commands("curl") {
        let state = secure_root.path().join("state");
        let command = command
            .replace("127.0.0.1:5000", &plain.address.to_string())
            .replace("HOST:5000", &format!("localhost:{}", secure.address.port()))
            .replace("STATE", state.to_str().unwrap())
            .replace(":TOKEN", &format!(":{TOKEN}"))
            .replace("SOCKET", control(plain_root.path()).to_str().unwrap());
        run(root.path(), &command).await;
    }
    let files = |root: &Path| fs::read_dir(root.join("files")).unwrap().count();
    assert_eq!(
        (files(plain_root.path()), files(secure_root.path())),
        (2, 1)
    );
}

/// Completes when the command's output names the uploaded file. The feed has no end to wait for.
async fn run(directory: &Path, command: &str) {
    let mut running = Command::new("sh")
        .args(["-c", &format!("exec {command} --fail -sSN")])
        .current_dir(directory)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let mut answer = String::new();
    while !answer.contains("cat") {
        let line = within_limit(lines.next_line()).await.unwrap();
        answer += &line.unwrap_or_else(|| panic!("{command}: {answer}"));
    }
}
