//! Checks texts of the operator that lists and tables carry.

use trimtab_loadtable::limits;

/// Checks that a resolver can take the text: a host name, or an address.
pub(crate) fn host_name(text: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.parse::<std::net::IpAddr>().is_ok() || text.bytes().all(allowed) {
        Ok(())
    } else {
        Err("is not the name of a host")
    }
}

/// Checks that a table can carry the name. It may be empty.
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
