//! The command of `sudo tracer -- COMMAND` has exactly the rights and the environment of the user
//! who called `sudo`.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    process::Command,
};

use rustix::{
    process::getpid,
    thread::{CapabilitySet, capabilities},
};
use tracer::internals::{
    ending::Ending,
    session::command::{CannotStart, Stdout, User, prepare_as},
};

use crate::lab::run;

/// Somebody who is not root, with more groups than one where this machine has such a user.
fn somebody() -> String {
    fs::read_to_string("/etc/group")
        .unwrap()
        .lines()
        .filter_map(|line| line.rsplit(':').next()?.split(',').next())
        .find(|name| !matches!(*name, "" | "root"))
        .unwrap_or("nobody")
        .to_owned()
}

fn id(arguments: &[&str]) -> String {
    run(Command::new("id").args(arguments)).trim().to_owned()
}

/// What a shell script says as the user with these ids.
async fn stdout_as(uid: &str, gid: Option<&str>, script: &str) -> String {
    let gid = gid.map(|gid| gid.parse().unwrap());
    let user = User::from_ids(uid.parse().unwrap(), gid).unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    let stdout = dir.path().join("said");
    let script = format!("exec >{}\n{script}", stdout.display());
    let argv = ["sh", "-c", &script].map(OsString::from);
    let prepared = prepare_as(Some(user), &argv, Stdout::Inherit).unwrap();
    let status = prepared
        .start(Ending::default())
        .unwrap()
        .wait()
        .await
        .unwrap();
    assert_eq!(status, 0);
    fs::read_to_string(stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn the_command_has_the_users_ids_and_groups() {
    let name = somebody();
    let [uid, gid, groups] = ["-u", "-g", "-G"].map(|what| id(&[what, &name]));
    let script = "id -ru; id -u; id -rg; id -g; id -G; grep ^Uid /proc/self/status | cut -f 4";
    let stdout = stdout_as(&uid, None, script).await;
    assert_eq!(
        stdout.lines().collect::<Vec<_>>(),
        [&uid, &uid, &gid, &gid, &groups, &uid]
    );
    // sudo may have been called after `newgrp`.
    let in_group = stdout_as(&uid, Some("12345"), "id -g; id -G").await;
    let (primary, all) = in_group.split_once('\n').unwrap();
    assert_eq!(primary, "12345");
    assert!(all.split(' ').any(|group| group == "12345"), "{all}");
    assert!(!all.split(' ').any(|group| group == "0"), "{all}");
}

#[tokio::test]
async fn the_command_has_no_capability_and_the_tracer_keeps_its_own() {
    let mine = capabilities(None).unwrap();
    assert!(mine.effective.contains(CapabilitySet::SYS_ADMIN));
    let uid = id(&["-u", "nobody"]);
    let none = "grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status";
    for line in stdout_as(&uid, None, none).await.lines() {
        let (_, set) = line.split_once('\t').unwrap();
        assert_eq!(u64::from_str_radix(set, 16).unwrap(), 0, "{line}");
    }
    assert!(rustix::process::geteuid().is_root());
    let after = capabilities(Some(getpid())).unwrap();
    assert!(after.effective.contains(CapabilitySet::SYS_ADMIN));
}

#[tokio::test]
async fn its_environment_is_the_users() {
    let uid = id(&["-u", "nobody"]);
    let passwd = run(Command::new("getent").args(["passwd", "nobody"]));
    let fields: Vec<&str> = passwd.trim().split(':').collect();
    let (home, shell) = (fields[5], fields[6]);
    let stdout = stdout_as(&uid, None, r#"echo "$HOME $USER $LOGNAME $SHELL""#).await;
    assert_eq!(stdout, format!("{home} nobody nobody {shell}"));
    let path = stdout_as(&uid, None, r#"echo "$PATH""#).await;
    assert_eq!(path, std::env::var("PATH").unwrap());
}

#[tokio::test]
async fn a_program_only_root_may_execute_is_refused() {
    let nobody = User::from_ids(id(&["-u", "nobody"]).parse().unwrap(), None).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let tool = dir.path().join("tool");
    fs::write(&tool, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&tool, Permissions::from_mode(0o700)).unwrap();
    let argv = [tool.into_os_string()];
    prepare_as(None, &argv, Stdout::Inherit).unwrap();
    for dir_mode in [0o700, 0o755] {
        fs::set_permissions(dir.path(), Permissions::from_mode(dir_mode)).unwrap();
        let error = prepare_as(Some(nobody.clone()), &argv, Stdout::Inherit).unwrap_err();
        assert!(
            matches!(error, CannotStart::NotExecutable { .. }),
            "{error}"
        );
        assert_eq!(error.exit_code(), 126);
    }
}
