//! Addresses of endpoints.

use core::net::SocketAddr;

use crate::{DecodeError, limits};

const ADDRESS: &str = "ip:port or [ipv6]:port with a port other than 0";

pub(super) fn address(row: usize, text: &str) -> Result<(), DecodeError> {
    if is_plain_ipv4(text) {
        return Ok(());
    }
    let parsed = if text.len() <= limits::ADDRESS_BYTES {
        text.parse::<SocketAddr>().ok()
    } else {
        None
    };
    match parsed {
        Some(socket) if socket.port() != 0 => Ok(()),
        _ => Err(DecodeError::text("address", row, text, ADDRESS)),
    }
}

/// Returns whether `text` is `a.b.c.d:port` without superfluous zeros, as nearly all addresses are.
///
/// This is many times as fast as the general parser, which decides about all other texts. The
/// general parser also accepts every text that this function accepts.
fn is_plain_ipv4(text: &str) -> bool {
    let mut rest = text.as_bytes();
    for end in *b"...:" {
        let (digits, behind) = match rest {
            [c, byte, behind @ ..] if *byte == end => ([b'0', b'0', *c], behind),
            [b, c, byte, behind @ ..] if *byte == end && *b != b'0' => ([b'0', *b, *c], behind),
            [a, b, c, byte, behind @ ..] if *byte == end && *a != b'0' => ([*a, *b, *c], behind),
            _ => return false,
        };
        if number(&digits) > 255 {
            return false;
        }
        rest = behind;
    }
    rest.len() <= 5 && rest.first() != Some(&b'0') && (1..=65_535).contains(&number(rest))
}

/// Returns the value of up to five digits. Returns [`NO_NUMBER`] or more if one of them is no
/// digit.
fn number(digits: &[u8]) -> u32 {
    digits.iter().fold(0, |number, byte| match byte {
        b'0'..=b'9' => number * 10 + u32::from(byte - b'0'),
        _ => NO_NUMBER,
    })
}

/// Above all numbers of five digits, whatever digits follow, and far below what overflows.
const NO_NUMBER: u32 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Whether the general parser accepts it.
    fn parses(text: &str) -> bool {
        text.parse::<SocketAddr>()
            .is_ok_and(|socket| socket.port() != 0)
    }

    #[test]
    fn the_short_way_takes_nothing_that_the_general_parser_refuses() {
        // Two plain addresses with up to two insertions and one deletion.
        let alphabet = [
            "", "0", "1", "25", "256", ".", ":", "[", " ", "-", "+1", "65535", "65536", "ä",
        ];
        let mut plain = 0;
        for start in ["10.1.0.25:8000", "255.255.255.255:65535"] {
            let places = 0..=start.len();
            for (a, b) in places
                .clone()
                .flat_map(|a| places.clone().map(move |b| (a, b.max(a))))
            {
                for (x, y) in alphabet
                    .iter()
                    .flat_map(|x| alphabet.iter().map(move |y| (x, y)))
                {
                    for cut in 0..2 {
                        let end = (b + cut).min(start.len());
                        let text =
                            format!("{}{x}{}{y}{}", &start[..a], &start[a..b], &start[end..]);
                        plain += u32::from(is_plain_ipv4(&text));
                        assert!(!is_plain_ipv4(&text) || parses(&text), "{text:?}");
                    }
                }
            }
        }
        assert!(plain > 1_000, "{plain} are plain");
    }

    #[test]
    fn the_short_way_takes_every_address_that_is_written_plainly() {
        for number in 0..100_000_u32 {
            let ip = core::net::Ipv4Addr::from(number.wrapping_mul(0x9e37_79b9));
            let text = format!("{ip}:{}", number % 65_535 + 1);
            assert!(is_plain_ipv4(&text) && parses(&text), "{text}");
        }
        assert!(!is_plain_ipv4("10.0.0.1:0"));
    }
}
