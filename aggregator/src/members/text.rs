//! Texts of the operator's that lists and tables carry.

use trimtab_loadtable::limits;

/// What a resolver takes: a name, or an address.
pub(crate) fn host_name(text: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.parse::<std::net::IpAddr>().is_ok() || text.bytes().all(allowed) {
        Ok(())
    } else {
        Err("is not the name of a host")
    }
}

/// A name that a table can carry; it may be empty.
pub(crate) fn printable(text: &str) -> Result<(), &'static str> {
    if text.len() > limits::NAME_BYTES {
        return Err("is longer than 253 bytes");
    }
    if text.chars().any(char::is_control) {
        Err("holds control characters")
    } else {
        Ok(())
    }
}
