//! The control connection of FTP in clear text (RFC 959, RFC 2428): which data connections it announces,
//! and which command each of them serves. The direction of a data connection tells nothing: in active
//! mode the server opens it.

mod lines;

use std::{collections::VecDeque, net::IpAddr};

use upload_protocol::End;

use self::lines::Lines;
use super::{
    begun::{Begun, begin},
    stream::NewBytes,
};

/// A data connection that a control connection announced.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// Its place among the transfers of the control connection.
    pub number: u64,
    /// When it was announced, CLOCK_MONOTONIC.
    pub announced_ns: u64,
    /// The end of the control connection that listens for it.
    pub listens: End,
    /// Where that end listens by its own word; `None` where it named the port alone.
    pub ip: Option<IpAddr>,
    pub port: u16,
    /// The command that it serves; `None` as long as none was seen.
    pub command: Option<Command>,
    /// The final reply's code.
    pub reply: Option<u16>,
}

/// A command that needs a data connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// STOR, APPE or STOU: a file for the server, with its path where that is known.
    Store(Option<String>),
    /// RETR, LIST, NLST or MLSD: bytes for the client.
    Fetch,
}

/// Both directions of a control connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Conversation {
    client: Lines,
    server: Lines,
    /// The commands without a final reply.
    waiting: VecDeque<Waiting>,
    /// The code of the multi-line reply that has begun.
    inside: Option<u16>,
    /// Whether the greeting came, which answers no command.
    greeted: bool,
    /// Whether what follows is encrypted.
    is_over: bool,
    begun: u64,
    /// Those without a final reply.
    open: VecDeque<Transfer>,
    /// Those that changed since they were taken.
    changed: Vec<Transfer>,
}

/// A command that waits for its final reply.
#[derive(Clone, Debug, PartialEq)]
enum Waiting {
    /// PORT or EPRT, and when: where the client listens. Some servers connect before they reply.
    Active(u64, IpAddr, u16),
    /// PASV or EPSV.
    Passive,
    /// A command that this transfer serves, if its announcement was seen.
    Transfer(Option<u64>),
    /// AUTH.
    Encryption,
    Other,
}

const MAX_WAITING: usize = 32;
const MAX_OPEN: usize = 16;
const MAX_CHANGED: usize = 256;

/// Whether a server opens with a greeting that FTP has, as far as it came.
pub(super) fn looks_like_greeting(from: End, bytes: &[u8]) -> bool {
    let code = bytes.get(..3).unwrap_or(bytes);
    from == End::Server && (b"220".starts_with(code) || b"120".starts_with(code))
}

/// Whether a client in the middle of a stream sends a command that only FTP has.
pub(super) fn looks_like_command(from: End, bytes: &[u8]) -> bool {
    const COMMANDS: [&[u8]; 4] = [b"PASV\r\n", b"EPSV\r\n", b"PORT ", b"EPRT "];
    let begins = |command: &&[u8]| bytes.starts_with(command);
    from == End::Client && COMMANDS.iter().any(begins)
}

impl Conversation {
    /// A conversation whose beginning was seen, or was not.
    pub(super) fn new(is_start: bool) -> Self {
        Self {
            greeted: !is_start,
            ..Self::default()
        }
    }

    /// The transfers that are new or know more than before.
    pub(super) fn take_changed(&mut self) -> Vec<Transfer> {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn feed(&mut self, new_bytes: &NewBytes<'_>, begun: &mut Begun) {
        if self.is_over {
            return;
        }
        let lines = match new_bytes.from {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        };
        let (lines, is_whole) = lines.take(new_bytes);
        if !is_whole {
            self.forget();
        }
        for line in lines {
            match new_bytes.from {
                End::Client => {
                    begin(begun, || format!("Request: {}", without_password(&line)));
                    self.command(new_bytes.mono_ns, &line);
                }
                End::Server => {
                    begin(begun, || format!("Response: {line}"));
                    self.reply(new_bytes.mono_ns, &line);
                }
            }
        }
    }

    /// Commands or replies were missed: which belong together is unknown.
    fn forget(&mut self) {
        self.waiting.clear();
        self.open.clear();
        self.inside = None;
    }

    fn command(&mut self, mono_ns: u64, line: &str) {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let waiting = match &*verb.to_ascii_uppercase() {
            "PORT" => port(argument).map(|(ip, port)| Waiting::Active(mono_ns, ip, port)),
            "EPRT" => extended_port(argument).map(|(ip, port)| Waiting::Active(mono_ns, ip, port)),
            "PASV" | "EPSV" => Some(Waiting::Passive),
            "STOR" | "APPE" => Some(self.transfer(Command::Store(Some(argument.to_owned())))),
            // Its reply has the name.
            "STOU" => Some(self.transfer(Command::Store(None))),
            "RETR" | "LIST" | "NLST" | "MLSD" => Some(self.transfer(Command::Fetch)),
            "AUTH" => Some(Waiting::Encryption),
            "USER" | "PASS" | "FEAT" | "SYST" => None,
            _ => {
                self.wait_for(Waiting::Other);
                return;
            }
        };
        self.wait_for(waiting.unwrap_or(Waiting::Other));
    }

    fn wait_for(&mut self, waiting: Waiting) {
        if self.waiting.len() == MAX_WAITING {
            self.forget();
        }
        self.waiting.push_back(waiting);
    }

    /// A transfer uses the address that was announced last.
    fn transfer(&mut self, command: Command) -> Waiting {
        let announced = self.open.back_mut();
        let Some(transfer) = announced.filter(|last| last.command.is_none()) else {
            return Waiting::Transfer(None);
        };
        transfer.command = Some(command);
        let transfer = transfer.clone();
        let number = transfer.number;
        self.change(transfer);
        Waiting::Transfer(Some(number))
    }

    fn reply(&mut self, mono_ns: u64, line: &str) {
        let code: Option<u16> = line.get(..3).and_then(|code| code.parse().ok());
        let is_last = line.as_bytes().get(3).is_none_or(|byte| *byte == b' ');
        let code = match (self.inside, code) {
            (Some(inside), code) if code != Some(inside) || !is_last => return,
            (_, None) => return,
            (_, Some(code)) => code,
        };
        self.inside = (!is_last).then_some(code);
        if !is_last {
            return;
        }
        let text = line.get(4..).unwrap_or_default();
        if code < 200 {
            self.name_unique(text);
            return;
        }
        if !self.greeted {
            self.greeted = true;
            return;
        }
        let is_success = code < 300;
        match self.waiting.pop_front() {
            Some(Waiting::Active(sent_ns, ip, port)) if is_success => {
                self.announce(sent_ns, End::Client, Some(ip), port);
            }
            Some(Waiting::Passive) if is_success => {
                if let Some((ip, port)) = passive(code, text) {
                    self.announce(mono_ns, End::Server, ip, port);
                }
            }
            Some(Waiting::Transfer(Some(number))) => self.conclude(number, code, text),
            Some(Waiting::Encryption) if is_success => self.is_over = true,
            _ => {}
        }
    }

    fn announce(&mut self, announced_ns: u64, listens: End, ip: Option<IpAddr>, port: u16) {
        let transfer = Transfer {
            number: self.begun,
            announced_ns,
            listens,
            ip,
            port,
            command: None,
            reply: None,
        };
        self.begun += 1;
        if self.open.len() == MAX_OPEN {
            self.open.pop_front();
        }
        self.open.push_back(transfer.clone());
        self.change(transfer);
    }

    /// The preliminary reply to STOU names the file (RFC 1123, section 4.1.2.9).
    fn name_unique(&mut self, text: &str) {
        let Some(Waiting::Transfer(Some(number))) = self.waiting.front() else {
            return;
        };
        let open = self.open.iter_mut().find(|open| open.number == *number);
        if let Some(transfer) = open
            && let Some(Command::Store(name @ None)) = &mut transfer.command
            && let Some(unique) = text.strip_prefix("FILE: ")
        {
            *name = Some(unique.trim_matches('"').to_owned());
        }
    }

    fn conclude(&mut self, number: u64, code: u16, text: &str) {
        self.name_unique(text);
        if let Some(place) = self.open.iter().position(|open| open.number == number)
            && let Some(mut transfer) = self.open.remove(place)
        {
            transfer.reply = Some(code);
            self.change(transfer);
        }
    }

    fn change(&mut self, transfer: Transfer) {
        if self.changed.len() < MAX_CHANGED {
            self.changed.push(transfer);
        }
    }
}

/// A command as others may read it.
fn without_password(line: &str) -> &str {
    const PASS: &str = "PASS";
    match line.get(..PASS.len()) {
        Some(verb) if verb.eq_ignore_ascii_case(PASS) => verb,
        _ => line,
    }
}

/// `h1,h2,h3,h4,p1,p2` (RFC 959, section 4.1.2).
fn port(text: &str) -> Option<(IpAddr, u16)> {
    let mut numbers = text.trim().split(',').map(|number| number.trim().parse());
    let mut next = || -> Option<u8> { numbers.next()?.ok() };
    let ip = [next()?, next()?, next()?, next()?];
    let port = u16::from_be_bytes([next()?, next()?]);
    Some((ip.into(), port))
}

/// `|1|132.235.1.2|6275|` (RFC 2428, section 2).
fn extended_port(text: &str) -> Option<(IpAddr, u16)> {
    let mut fields = text.split(text.chars().next()?).skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// `(h1,h2,h3,h4,p1,p2)` of 227, `(|||port|)` of 229 (RFC 2428, section 3).
fn passive(code: u16, text: &str) -> Option<(Option<IpAddr>, u16)> {
    match code {
        227 => {
            // Not every server writes the parentheses.
            let start = text.find(|c: char| c.is_ascii_digit())?;
            let numbers = text.get(start..)?;
            let end = numbers.find(|c: char| !c.is_ascii_digit() && c != ',');
            let (ip, port) = port(numbers.get(..end.unwrap_or(numbers.len()))?)?;
            Some((Some(ip), port))
        }
        229 => {
            let (_, fields) = text.split_once('(')?;
            let mark = fields.chars().next()?;
            let port = fields.split(mark).nth(3)?.parse().ok()?;
            Some((None, port))
        }
        _ => None,
    }
}
