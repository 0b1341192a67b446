//! Names of client certificates.

/// A name that a certificate must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This DNS name.
    Dns(String),
    /// This URI.
    Uri(String),
    /// A URI that begins like this.
    UriUnder(String),
}

impl Pattern {
    /// Reads a DNS name or a URI. A `*` may end a URI's path.
    ///
    /// # Errors
    /// The text is neither.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let no = |why: &str| Err(format!("has \"{text}\", which {why}"));
        if text.len() > 2048 || text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return no("is no name of a certificate");
        }
        let (head, is_open) = match text.strip_suffix('*') {
            Some(head) => (head, true),
            None => (text, false),
        };
        if head.contains('*') {
            return no("has a `*` before its end");
        }
        let Some((scheme, rest)) = head.split_once("://") else {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
            return match !head.is_empty() && head.bytes().all(allowed) {
                _ if is_open => no("is no URI, and a `*` stands in the path of a URI alone"),
                true => Ok(Self::Dns(head.to_ascii_lowercase())),
                false => no("is neither a DNS name nor a URI"),
            };
        };
        let authority = rest.split('/').next().unwrap_or_default();
        match scheme.is_empty() || authority.is_empty() {
            true => no("is a URI without a scheme or a host"),
            false if is_open && !rest.contains('/') => no("has a `*` before the path"),
            false if is_open => Ok(Self::UriUnder(head.to_owned())),
            false => Ok(Self::Uri(head.to_owned())),
        }
    }

    pub(super) fn is_dns(&self, name: &str) -> bool {
        matches!(self, Self::Dns(own) if name.eq_ignore_ascii_case(own))
    }

    pub(super) fn is_uri(&self, uri: &str) -> bool {
        match self {
            Self::Dns(_) => false,
            Self::Uri(own) => own == uri,
            // A path that leads upwards, or hides that it does, is under nothing.
            Self::UriUnder(head) => {
                uri.starts_with(head) && !uri.contains("..") && !uri.contains('%')
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_at_the_end_of_a_path_and_nowhere_else() {
        for (text, says) in [
            ("*.example.com", "before its end"),
            ("example*", "path of a URI alone"),
            ("*", "path of a URI alone"),
            ("spiffe://cluster.local*", "before the path"),
            ("spiffe://*/ns/a", "before its end"),
            ("spiffe:///ns/a", "without a scheme or a host"),
            ("a b", "no name"),
            ("", "neither"),
        ] {
            let error = Pattern::read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_is_matched_as_a_whole_or_below_a_star() {
        let under = Pattern::read("spiffe://cluster.local/ns/a/*").unwrap();
        for (uri, fits) in [
            ("spiffe://cluster.local/ns/a/sa/b", true),
            ("spiffe://cluster.local/ns/ab/sa/b", false),
            ("spiffe://cluster.local/ns/a/../c/sa/b", false),
            ("spiffe://cluster.local/ns/a/%2e%2e/c", false),
            ("spiffe://cluster.local.evil/ns/a/sa/b", false),
        ] {
            assert_eq!(under.is_uri(uri), fits, "{uri}");
        }
        let whole = Pattern::read("spiffe://cluster.local/ns/a/sa/b").unwrap();
        assert!(whole.is_uri("spiffe://cluster.local/ns/a/sa/b"));
        assert!(!whole.is_uri("spiffe://cluster.local/ns/a/sa/bc"));
        let dns = Pattern::read("Gateway.default.svc").unwrap();
        assert!(dns.is_dns("gateway.default.SVC") && !dns.is_dns("x.gateway.default.svc"));
        assert!(!dns.is_uri("gateway.default.svc"));
    }
}
