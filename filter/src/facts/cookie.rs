//! A session that the client keeps in a cookie.

use trimtab_settings::Settings;

/// `session_cookie`: name of a cookie that names the conversation. It goes after `session_header`,
/// and before the body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionCookie(Option<String>);

impl SessionCookie {
    pub(crate) fn read(s: &Settings<'_>) -> Self {
        let name = s
            .about("A cookie that names the conversation where no such header does. Absent: none.");
        let name = name.string("session_cookie").max_bytes(128);
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        Self(
            name.check(move |name| {
                if name.bytes().all(token) {
                    Ok(())
                } else {
                    Err("is not a cookie's name")
                }
            })
            .hint("use letters, digits and dashes, such as session-id")
            .optional(),
        )
    }

    /// Returns the cookie's value in one `cookie` header: the first one that is not empty, without
    /// quotes. Looks at each byte at most once, and at none if no cookie is configured.
    pub(crate) fn value<'h>(&self, header: &'h [u8]) -> Option<&'h [u8]> {
        let wanted = self.0.as_deref()?.as_bytes();
        let value = |pair: &'h [u8]| {
            let value = pair.trim_ascii().strip_prefix(wanted)?.strip_prefix(b"=")?;
            let bare = value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""));
            Some(bare.unwrap_or(value)).filter(|value| !value.is_empty())
        };
        header.split(|byte| *byte == b';').find_map(value)
    }
}

#[cfg(test)]
mod tests {
    use super::SessionCookie;

    #[test]
    fn the_value_is_that_of_the_cookie_with_exactly_that_name() {
        let cookie = SessionCookie(Some("sid".into()));
        for (header, value) in [
            ("sid=a", Some("a")),
            ("x=1; sid=a; y=2", Some("a")),
            ("x=1;sid=a=b", Some("a=b")),
            ("sid=\"a b\"", Some("a b")),
            ("sid=; sid=b", Some("b")),
            ("sid=a; sid=b", Some("a")),
            ("sidx=1; xsid=2; SID=3", None),
            ("sid", None),
            ("; ;=;", None),
            ("", None),
        ] {
            assert_eq!(
                cookie.value(header.as_bytes()),
                value.map(str::as_bytes),
                "{header}"
            );
        }
        assert_eq!(SessionCookie::default().value(b"sid=a"), None);
    }
}
