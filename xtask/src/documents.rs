//! The commands that the documents tell a reader to type, and whether the programs would take them.
//! Each program has a test:
//!
//! ```no_run
//! # #[derive(clap::Parser)] struct Cli {}
//! use xtask::documents::{check, commands};
//!
//! check::<Cli>(&commands("upload-server")?)?;
//! # anyhow::Ok(())
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail, ensure};
use clap::Parser;

/// A command in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// File and line.
    pub place: String,
    /// The program's name and its arguments, as the shell would pass them.
    pub words: Vec<String>,
}

/// Folders of the workspace that have documents.
const FOLDERS: [&str; 9] = [
    "",
    ".github",
    "tracer",
    "tracer/docs",
    "tracer-ebpf",
    "upload-server",
    "upload-server/protocol",
    "xtask",
    "xtask/lab",
];

/// Words before a program that are not the program.
const PREFIXES: [&str; 3] = ["sudo", "env", "-E"];

/// Fails with every command whose arguments `Cli` refuses.
pub fn check<Cli: Parser>(commands: &[Command]) -> Result<()> {
    ensure!(!commands.is_empty(), "no document names a command");
    let mut refused = Vec::new();
    for Command { place, words } in commands {
        let parsed = Cli::try_parse_from(words).map(drop);
        // `--help` ends a program, too.
        if let Some(error) = parsed.err().filter(clap::Error::use_stderr) {
            refused.push(format!("{place}: `{}`: {error}", words.join(" ")));
        }
    }
    if !refused.is_empty() {
        bail!("{}", refused.join("\n"));
    }
    Ok(())
}

/// The commands that call `program` (`tracer`, or `cargo xtask`), in code blocks and in code within
/// a sentence. Those with `…` or with `VERB` for a verb are not meant to be typed.
pub fn commands(program: &str) -> io::Result<Vec<Command>> {
    let mut found = Vec::new();
    for file in documents()? {
        let name = file.strip_prefix(root()).unwrap_or(&file).display();
        for (line, code) in code(&fs::read_to_string(&file)?) {
            found.extend(calls(&code, program).map(|words| Command {
                place: format!("{name}:{line}"),
                words,
            }));
        }
    }
    Ok(found)
}

fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

fn documents() -> io::Result<Vec<PathBuf>> {
    let mut documents = Vec::new();
    for folder in FOLDERS {
        let entries = match fs::read_dir(root().join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    documents.sort();
    Ok(documents)
}

/// The code in a document, with the number of its line: each line of a block, fenced or indented,
/// and each span within a sentence.
fn code(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut is_fenced = false;
    let mut continues = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced || line.starts_with("    ") {
            let (code, goes_on) = match line.trim().strip_suffix('\\') {
                Some(code) => (code, true),
                None => (line.trim(), false),
            };
            match found.last_mut().filter(|_| continues) {
                Some((_, begun)) => begun.push_str(code),
                None => found.push((number + 1, code.to_owned())),
            }
            continues = goes_on;
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            found.extend(spans.map(|span| (number + 1, span.to_owned())));
        }
    }
    found
}

/// The calls of `program` in a line of shell.
fn calls(line: &str, program: &str) -> impl Iterator<Item = Vec<String>> {
    let name: Vec<&str> = program.split(' ').collect();
    let commands = match line.contains('…') {
        true => Vec::new(),
        false => split(line),
    };
    commands.into_iter().filter_map(move |words| {
        let mut words = words
            .into_iter()
            .skip_while(|word| PREFIXES.contains(&word.as_str()) || is_assignment(word));
        let called = words.next()?;
        let called = called.rsplit('/').next()?;
        let rest: Vec<String> = words.collect();
        let arguments = rest.get(name.len() - 1..)?;
        let is_called = called == name[0] && rest.iter().zip(&name[1..]).all(|(is, be)| is == be);
        let is_form = arguments.first().is_some_and(|first| first == "VERB");
        (is_called && !is_form).then(|| [&[program.to_owned()], arguments].concat())
    })
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

/// The commands of a line of shell, each as its words; pipes and the like separate them.
fn split(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let line = line.trim().strip_prefix("$ ").unwrap_or(line);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(end), _) if letter == end => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(letters.next()),
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '#') if word.is_none() => break,
            (None, '|' | '&' | ';' | '<' | '>' | '(' | ')') => {
                commands
                    .last_mut()
                    .unwrap_or(&mut Vec::new())
                    .extend(word.take());
                commands.push(Vec::new());
            }
            (None, _) if letter.is_whitespace() => {
                commands
                    .last_mut()
                    .unwrap_or(&mut Vec::new())
                    .extend(word.take());
            }
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    commands.last_mut().unwrap_or(&mut Vec::new()).extend(word);
    commands
}

#[cfg(test)]
mod tests {
    use super::{calls, code};

    #[derive(clap::Parser)]
    struct Cli {
        #[arg(long)]
        port: Option<u16>,
    }

    #[track_caller]
    fn check(text: &str, program: &str, expected: &[&[&str]]) {
        let code = code(text);
        let found: Vec<Vec<String>> = code
            .iter()
            .flat_map(|(_, line)| calls(line, program))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_command_that_is_refused_is_named() {
        let commands = |line: &str| -> Vec<super::Command> {
            calls(line, "tracer")
                .map(|words| super::Command {
                    place: "README.md:7".to_owned(),
                    words,
                })
                .collect()
        };
        super::check::<Cli>(&commands("tracer --port 7; tracer --help")).unwrap();
        let error = super::check::<Cli>(&commands("tracer --prot 7")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("README.md:7: `tracer --prot 7`: "),
            "{error}"
        );
        assert!(super::check::<Cli>(&[]).is_err());
    }

    #[test]
    fn blocks_and_sentences_have_commands() {
        check(
            "Run:\n\n    tracer doctor\n\n",
            "tracer",
            &[&["tracer", "doctor"]],
        );
        check(
            "```\n$ tracer doctor\n```\ntracer none",
            "tracer",
            &[&["tracer", "doctor"]],
        );
        check(
            "Call `tracer --help` or `grep`.",
            "tracer",
            &[&["tracer", "--help"]],
        );
        check(
            "    tracer --port 1 \\\n      --explain",
            "tracer",
            &[&["tracer", "--port", "1", "--explain"]],
        );
    }

    #[test]
    fn a_command_ends_where_the_shell_ends_it() {
        let line = "    sudo A=b target/release/tracer -o ndjson | jq 'select(.a == \"b\")' # all";
        check(line, "tracer", &[&["tracer", "-o", "ndjson"]]);
        check(line, "jq", &[&["jq", "select(.a == \"b\")"]]);
        check(
            "    cargo xtask run -- -o ndjson > out",
            "cargo xtask",
            &[&["cargo xtask", "run", "--", "-o", "ndjson"]],
        );
        check(
            "    cat a & upload-server; tracer",
            "tracer",
            &[&["tracer"]],
        );
    }

    #[test]
    fn what_calls_nothing_is_no_command() {
        check("    tracer/src/lib.rs   the library", "tracer", &[]);
        check("    tracer/    the tracer", "tracer", &[]);
        check("    cargo test", "cargo xtask", &[]);
        check("`LLVM_PREFIX=… cargo xtask setup`", "cargo xtask", &[]);
        check("`cargo xtask VERB --help`", "cargo xtask", &[]);
        check("    setcap cap_bpf=ep target/release/tracer", "tracer", &[]);
    }
}
