//! Settings of the listeners: where the aggregator listens, and for whom.

use super::allow::Allow;
use super::role::Role;
use std::net::SocketAddr;
use std::path::PathBuf;
use trimtab_settings::Settings;

/// Default limit of connections for a listener that proxies do not use.
const DEFAULT_CONNECTIONS: usize = 1_000;

/// The settings of all listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Serves proxies, and callers that have no listener of their own.
    pub main: ListenerSettings,
    /// Serves people alone. Absent: `main` serves them.
    pub people: Option<ListenerSettings>,
    /// Serves health checks and Prometheus alone. Absent: `main` serves them.
    pub health: Option<ListenerSettings>,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where the listener binds. Port 0 takes a free port.
    pub at: SocketAddr,
    /// How many connections may be open. Further ones wait to be accepted.
    pub max_connections: usize,
    /// Its certificate. Absent: plain HTTP.
    pub tls: Option<Tls>,
    /// Who may speak. Absent: everybody.
    pub allow: Option<Allow>,
}

/// The certificate of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// File with the certificate and those that lead to its CA, PEM.
    pub cert_file: PathBuf,
    /// File with its key, PEM.
    pub key_file: PathBuf,
}

impl Tls {
    fn read(s: &Settings<'_>) -> Self {
        let file = |name: &'static str, about| {
            let path = s.about(about).string(name).max_bytes(4096);
            path.map(|path| Ok::<_, String>(PathBuf::from(path)))
                .required()
        };
        Self {
            cert_file: file(
                "cert_file",
                "Its certificate and those that lead to the CA, PEM.",
            ),
            key_file: file("key_file", "The key, PEM."),
        }
    }
}

/// Reads `tls` and `allow` of a listener.
fn guarded(s: &Settings<'_>, has_allow: bool) -> (Option<Tls>, Option<Allow>) {
    let tls = s
        .about(
            "TLS 1.2 and 1.3 at this listener, HTTP/1.1 and HTTP/2. Files are read again when they \
            change. Absent: plain HTTP.",
        )
        .object("tls")
        .hint("write it as {cert_file: .., key_file: ..}")
        .optional()
        .map(|s| Tls::read(&s));
    if !has_allow {
        return (tls, None);
    }
    let allow = s
        .about(
            "Who may speak at this listener, but for health checks and Prometheus: one of these \
            suffices. Absent: everybody.",
        )
        .object("allow")
        .hint("write it as in {bearer_file: ..}")
        .optional()
        .map(|s| Allow::read(&s));
    let needs = allow
        .as_ref()
        .is_some_and(|allow| allow.client_certificates.is_some());
    if needs && tls.is_none() {
        s.problem(
            "has `allow.client_certificates` and no `tls`, so no client can show one",
            "set `tls`",
        );
    }
    (tls, allow)
}

impl ListenerSettings {
    /// Whether others than this machine reach it.
    pub(crate) fn is_open(&self) -> bool {
        !self.at.ip().is_loopback()
    }
}

impl Listen {
    /// Reads `listen`, `max_connections`, and the sections `people` and `health`.
    pub(crate) fn read(s: &Settings<'_>) -> Self {
        let connections = |s: &Settings<'_>, default| {
            s.about("Open connections. Further ones wait to be accepted.")
                .usize("max_connections")
                .range(1..=1_000_000)
                .default(default)
        };
        let everywhere = |port| SocketAddr::from(([0, 0, 0, 0], port));
        let (tls, allow) = guarded(s, true);
        let main = ListenerSettings {
            tls,
            allow,
            at: s
                .about(
                    "Where proxies reach it, and also people, health checks and \
                    Prometheus where these have no listener of their own. Port 0 \
                    takes a free one. Whoever reports here gets the secret of the \
                    placement hashes: let only proxies reach it.",
                )
                .string("listen")
                .address()
                .default(everywhere(9190)),
            max_connections: connections(s, 20_000),
        };
        let own = |name: &'static str, about, port| {
            let section = s
                .about(about)
                .object(name)
                .hint("write it with an address of its own, as in {listen: 127.0.0.1:9191}")
                .optional()?;
            let at = section
                .about("Where it listens.")
                .string("listen")
                .address()
                .required_or(everywhere(port));
            if at.port() != 0 && at == main.at {
                section.problem(
                    "listens where `listen` does",
                    "give it another port, or leave the section out",
                );
            }
            let (tls, allow) = guarded(&section, name == "people");
            Some(ListenerSettings {
                tls,
                allow,
                at,
                max_connections: connections(&section, DEFAULT_CONNECTIONS),
            })
        };
        let people = "A listener for people and their tools alone: `/v1/pools`, \
            `/v1/pools/POOL/table`. `listen` then does not list pools. \
            Absent: `listen` serves them.";
        let health = "A listener for health checks and Prometheus alone: `/healthz`, \
            `/readyz`, `/metrics`. `listen` then has none of them. Absent: \
            `listen` serves them.";
        let (people, health) = (own("people", people, 9191), own("health", health, 9192));
        if let (Some(people), Some(health)) = (&people, &health)
            && people.at == health.at
            && people.at.port() != 0
        {
            s.problem(
                "`people` and `health` listen at one address",
                "give each a port of its own",
            );
        }
        Self {
            main,
            people,
            health,
        }
    }

    /// Returns each listener: the name of its setting, its address, and the roles that it serves.
    pub(crate) fn listeners(&self) -> Vec<(&'static str, &ListenerSettings, Vec<Role>)> {
        let apart = [
            ("people.listen", &self.people, Role::People),
            ("health.listen", &self.health, Role::Health),
        ];
        let mut main = vec![Role::Proxies];
        let mut listeners = Vec::new();
        for (setting, address, role) in apart {
            match address {
                Some(address) => listeners.push((setting, address, vec![role])),
                None => main.push(role),
            }
        }
        listeners.insert(0, ("listen", &self.main, main));
        listeners
    }
}
