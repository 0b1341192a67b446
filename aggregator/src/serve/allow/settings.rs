//! Settings of who may speak at a listener.

use super::names::Pattern;
use crate::members::kubernetes::{Name, Reading};
use std::path::PathBuf;
use std::time::Duration;
use trimtab_settings::Settings;

/// Who may speak at a listener. One of those that are set suffices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allow {
    /// Those with certain client certificates.
    pub client_certificates: Option<ClientCertificates>,
    /// Those with a secret of this file.
    pub bearer_file: Option<PathBuf>,
    /// Those with a token of certain service accounts.
    pub service_accounts: Option<ServiceAccounts>,
}

/// Client certificates that are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// File with the CAs that sign them, PEM.
    pub ca_file: PathBuf,
    /// Names, of which a certificate must have one.
    pub names: Vec<Pattern>,
}

/// Service accounts that are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccounts {
    /// The audience that a token must have.
    pub audience: String,
    /// The accounts.
    pub accounts: Vec<Name>,
    /// How long an answer of the API server counts.
    pub remember: Duration,
    /// How the API server is reached.
    pub reading: Reading,
}

impl Allow {
    /// Reads the section `allow`.
    pub(crate) fn read(s: &Settings<'_>) -> Self {
        let certificates = s
            .about("Those with a client certificate. Needs `tls` at this listener. Absent: no certificate counts.")
            .object("client_certificates")
            .hint("write it as {ca_file: .., names: [..]}")
            .optional();
        let accounts = s
            .about(
                "Those with the token of a service account of Kubernetes as `Authorization: Bearer`. \
                The aggregator asks the API server (creates tokenreviews, which takes a ClusterRole). \
                Absent: no token counts.",
            )
            .object("service_accounts")
            .hint("write it as {accounts: [namespace/name]}")
            .optional();
        let allow = Self {
            client_certificates: certificates.map(|s| ClientCertificates::read(&s)),
            bearer_file: s
                .about(
                    "Those with a secret of this file as `Authorization: Bearer`. A secret a line, 16 to \
                    4,096 characters; several while one is replaced. Absent: no secret counts.",
                )
                .string("bearer_file")
                .max_bytes(4096)
                .optional()
                .map(PathBuf::from),
            service_accounts: accounts.map(|s| ServiceAccounts::read(&s)),
        };
        if allow == Self::default() {
            s.problem(
                "allows nobody",
                "set `client_certificates`, `bearer_file` or `service_accounts`, or leave the section out",
            );
        }
        allow
    }
}

impl ClientCertificates {
    fn read(s: &Settings<'_>) -> Self {
        let names = s
            .about(
                "Names (subjectAltName) of which a certificate must have one: DNS names, and URIs as in \
                `spiffe://cluster.local/ns/default/sa/gateway`. A `*` at the end of a URI's path stands for \
                anything.",
            )
            .strings("names")
            .hint("list DNS names or URIs, as in [\"spiffe://cluster.local/ns/default/*\"]")
            .map(|names| match names.is_empty() {
                true => Err("is empty".to_owned()),
                false => names.iter().map(|name| Pattern::read(name)).collect(),
            });
        Self {
            ca_file: s
                .about("CAs that sign the certificates, PEM. Read again when it changes.")
                .string("ca_file")
                .max_bytes(4096)
                .map(|path| Ok::<_, String>(PathBuf::from(path)))
                .required(),
            names: names.required(),
        }
    }
}

impl ServiceAccounts {
    fn read(s: &Settings<'_>) -> Self {
        let name =
            |text: &String| Name::read(text).map_err(|why| format!("has \"{text}\", which {why}"));
        let text =
            |name: &'static str, about| s.about(about).string(name).max_bytes(4096).optional();
        let minute = Duration::from_secs(60);
        Self {
            audience: s
                .about("The audience that a token must have. Not that of the API server, or whoever sees a token here could use it there.")
                .string("audience")
                .max_bytes(253)
                .default("trimtab".to_owned()),
            accounts: s
                .about("The accounts, as `namespace/name`.")
                .strings("accounts")
                .hint("list them as in [default/trimtab-gateway]")
                .map(|names| match names.is_empty() {
                    true => Err("is empty".to_owned()),
                    false => names.iter().map(name).collect::<Result<Vec<_>, _>>(),
                })
                .required(),
            remember: s
                .about("How long a token that is allowed needs no further question, also while the API server is away. A token that was revoked counts as long.")
                .duration("remember")
                .range(Duration::from_secs(1)..=60 * minute)
                .default(5 * minute),
            reading: Reading {
                kubeconfig: text("kubeconfig", "How the API server is reached. Absent: as `$KUBECONFIG` or `~/.kube/config` says, else as a pod is told.").map(PathBuf::from),
                context: text("context", "The context of that file. Absent: its current one."),
                ..Reading::default()
            },
        }
    }
}
