//! A way from a client to the server, and all that are tried.

use super::proxy::{HaProxy, Nginx, Proxy};

/// Proxies in a row, the one that clients connect to first.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) proxies: &'static [Proxy],
}

impl Scenario {
    /// How many connections carry an upload.
    pub(crate) fn hops(&self) -> usize {
        1 + self.proxies.iter().map(|proxy| proxy.hops()).sum::<usize>()
    }

    /// Whether clients speak TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.proxies.first().is_some_and(|proxy| proxy.has_tls())
    }

    /// Its name in the names of files.
    pub(crate) fn file_name(&self) -> String {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric();
        let words = self.name.split(|letter| !is_plain(letter));
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        words.join("-")
    }

    /// A program that it needs and this machine lacks.
    pub(crate) fn lacks(&self, is_there: impl Fn(&str) -> bool) -> Option<&'static str> {
        let mut needed = self.proxies.iter().flat_map(|proxy| proxy.programs());
        needed.find(|program| !is_there(program)).copied()
    }
}

const NGINX: Nginx = Nginx {
    listen: "",
    location: "proxy_http_version 1.1;",
    workers: 0,
};
const HAPROXY: HaProxy = HaProxy {
    mode: "mode http",
    bind: "",
    server: "",
    threads: 1,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "nginx",
        proxies: &[Proxy::Nginx(NGINX)],
    },
    Scenario {
        name: "nginx, TLS",
        proxies: &[Proxy::Nginx(Nginx {
            listen: "ssl",
            ..NGINX
        })],
    },
    Scenario {
        name: "nginx, TLS, HTTP/2",
        proxies: &[Proxy::Nginx(Nginx {
            listen: "ssl http2",
            ..NGINX
        })],
    },
    Scenario {
        name: "nginx, TLS, unbuffered",
        proxies: &[Proxy::Nginx(Nginx {
            listen: "ssl",
            location: "proxy_http_version 1.1; proxy_request_buffering off;",
            ..NGINX
        })],
    },
    Scenario {
        name: "nginx, HTTP/1.0 to the server",
        proxies: &[Proxy::Nginx(Nginx {
            location: "proxy_http_version 1.0;",
            ..NGINX
        })],
    },
    Scenario {
        name: "nginx, kept connections to the server",
        proxies: &[Proxy::Nginx(Nginx {
            location: "proxy_http_version 1.1; proxy_set_header Connection '';",
            ..NGINX
        })],
    },
    Scenario {
        name: "nginx, 2 workers",
        proxies: &[Proxy::Nginx(Nginx {
            workers: 2,
            ..NGINX
        })],
    },
    Scenario {
        name: "HAProxy",
        proxies: &[Proxy::HaProxy(HAPROXY)],
    },
    Scenario {
        name: "HAProxy, TLS",
        proxies: &[Proxy::HaProxy(HaProxy {
            bind: "ssl crt PEM",
            ..HAPROXY
        })],
    },
    Scenario {
        name: "HAProxy, TLS, HTTP/2",
        proxies: &[Proxy::HaProxy(HaProxy {
            bind: "ssl crt PEM alpn h2,http/1.1",
            ..HAPROXY
        })],
    },
    Scenario {
        name: "HAProxy, forwardfor",
        proxies: &[Proxy::HaProxy(HaProxy {
            mode: "mode http\n option forwardfor",
            ..HAPROXY
        })],
    },
    Scenario {
        name: "HAProxy, TCP",
        proxies: &[Proxy::HaProxy(HaProxy {
            mode: "mode tcp",
            ..HAPROXY
        })],
    },
    Scenario {
        name: "HAProxy, 2 threads",
        proxies: &[Proxy::HaProxy(HaProxy {
            threads: 2,
            ..HAPROXY
        })],
    },
    // The upload server reads no PROXY protocol.
    Scenario {
        name: "HAProxy, PROXY protocol 1, then nginx",
        proxies: &[
            Proxy::HaProxy(HaProxy {
                server: "send-proxy",
                ..HAPROXY
            }),
            Proxy::Nginx(Nginx {
                listen: "proxy_protocol",
                ..NGINX
            }),
        ],
    },
    Scenario {
        name: "HAProxy, PROXY protocol 2, then nginx",
        proxies: &[
            Proxy::HaProxy(HaProxy {
                server: "send-proxy-v2",
                ..HAPROXY
            }),
            Proxy::Nginx(Nginx {
                listen: "proxy_protocol",
                ..NGINX
            }),
        ],
    },
    Scenario {
        name: "Caddy",
        proxies: &[Proxy::Caddy { tls: false }],
    },
    Scenario {
        name: "Caddy, TLS, HTTP/2",
        proxies: &[Proxy::Caddy { tls: true }],
    },
    Scenario {
        name: "socat",
        proxies: &[Proxy::Socat],
    },
    Scenario {
        name: "stunnel",
        proxies: &[Proxy::Stunnel],
    },
    Scenario {
        name: "ssh -L",
        proxies: &[Proxy::SshLocal],
    },
    Scenario {
        name: "ssh -R",
        proxies: &[Proxy::SshRemote],
    },
    Scenario {
        name: "nginx, TLS, then nginx",
        proxies: &[
            Proxy::Nginx(Nginx {
                listen: "ssl",
                ..NGINX
            }),
            Proxy::Nginx(NGINX),
        ],
    },
    Scenario {
        name: "HAProxy, TLS, then nginx",
        proxies: &[
            Proxy::HaProxy(HaProxy {
                bind: "ssl crt PEM",
                ..HAPROXY
            }),
            Proxy::Nginx(NGINX),
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_a_proxy() {
        let mut names = HashSet::new();
        for scenario in SCENARIOS {
            assert!(
                names.insert(scenario.file_name()),
                "{} twice",
                scenario.name
            );
            assert!(!scenario.proxies.is_empty(), "{}", scenario.name);
        }
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let scenario = Scenario {
            name: "",
            proxies: &[Proxy::Socat, Proxy::SshLocal],
        };
        assert_eq!(scenario.hops(), 4);
        assert_eq!(scenario.lacks(|program| program != "sshd"), Some("sshd"));
        assert_eq!(scenario.lacks(|_| true), None);
    }
}
