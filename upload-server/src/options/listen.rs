//! The addresses to listen on, as people write them.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// Used where only an address is given.
pub const DEFAULT_PORT: u16 = 5000;

/// What one `--listen` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `ADDRESS:PORT` or `ADDRESS`
    Address(SocketAddr),
    /// `:PORT`: every address of this machine, of both versions of IP.
    Every(u16),
    /// `localhost:PORT` or `localhost`: the loopback addresses of both versions of IP.
    Localhost(u16),
    /// `PORT`: every address where other machines may use the server, or else localhost.
    Port(u16),
}

/// Why a text is not an address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    #[error(
        "give an address, a port, or both, such as 192.168.1.5:5000, [::1]:5000, localhost:5000 or :5000"
    )]
    NotAnAddress,
    #[error("the port is not a number from 0 to 65535")]
    Port,
    #[error("only localhost can be given by its name: give an address of this machine")]
    Name,
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
            return Ok(Self::Address(SocketAddr::new(address, DEFAULT_PORT)));
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return port(text).map(Self::Port);
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, number)) => (host, port(number)?),
            None => (text, DEFAULT_PORT),
        };
        match host {
            "" if text.is_empty() => Err(ListenError::NotAnAddress),
            "" | "*" => Ok(Self::Every(port)),
            _ if host.eq_ignore_ascii_case("localhost") => Ok(Self::Localhost(port)),
            _ if host.contains(['/', ':', '[', ']', ' ']) => Err(ListenError::NotAnAddress),
            _ if host.parse::<IpAddr>().is_ok() => Err(ListenError::NotAnAddress),
            _ => Err(ListenError::Name),
        }
    }
}

fn port(text: &str) -> Result<u16, ListenError> {
    // `parse` takes a sign, too.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or(ListenError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_people_write_it() {
        let address = |text: &str| Ok(Listen::Address(text.parse().unwrap()));
        check("127.0.0.1:5000", address("127.0.0.1:5000"));
        check("[::1]:80", address("[::1]:80"));
        check("0.0.0.0", address("0.0.0.0:5000"));
        check("::", address("[::]:5000"));
        check("[::1]", address("[::1]:5000"));
        check("8080", Ok(Listen::Port(8080)));
        check("0", Ok(Listen::Port(0)));
        check(":5000", Ok(Listen::Every(5000)));
        check("*:5000", Ok(Listen::Every(5000)));
        check("*", Ok(Listen::Every(5000)));
        check("localhost:5000", Ok(Listen::Localhost(5000)));
        check("Localhost", Ok(Listen::Localhost(5000)));
        check("65536", Err(ListenError::Port));
        check(":65536", Err(ListenError::Port));
        check("localhost:", Err(ListenError::Port));
        check("localhost:http", Err(ListenError::Port));
        check("localhost:+80", Err(ListenError::Port));
        check(":", Err(ListenError::Port));
        check("", Err(ListenError::NotAnAddress));
        check("[::1", Err(ListenError::NotAnAddress));
        check("http://localhost:5000", Err(ListenError::NotAnAddress));
        check("files.example:5000", Err(ListenError::Name));
        check("eth0", Err(ListenError::Name));

        fn check(text: &str, expected: Result<Listen, ListenError>) {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }
}
