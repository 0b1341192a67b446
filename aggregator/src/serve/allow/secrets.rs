//! Bearer secrets from a file.

use crate::serve::files::{File, Source};
use ring::hmac::{HMAC_SHA256, Key, Tag, sign, verify};
use std::path::Path;

/// Least and most bytes of a secret.
const BYTES: std::ops::RangeInclusive<usize> = 16..=4096;
/// How many secrets a file may have.
const MOST: usize = 64;

/// Secrets, under a key of their own that nobody knows, so that comparing tells nothing by its
/// time.
#[derive(Debug)]
pub(super) struct Secrets {
    key: Key,
    tags: Vec<Tag>,
}

impl Secrets {
    /// Whether `shown` is one of the secrets. All are compared, each in constant time.
    pub(super) fn have(&self, shown: &[u8]) -> bool {
        let mut found = false;
        for tag in &self.tags {
            found |= verify(&self.key, shown, tag.as_ref()).is_ok();
        }
        found
    }

    fn read(text: &[u8]) -> Result<Self, String> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| format!("no random numbers: {error}"))?;
        let key = Key::new(HMAC_SHA256, &random);
        let text = std::str::from_utf8(text).map_err(|_| "is no text; write a secret a line")?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let secrets: Vec<&str> = lines.take(MOST + 1).collect();
        let is_fine = |one: &&str| {
            BYTES.contains(&one.len()) && one.bytes().all(|byte| byte.is_ascii_graphic())
        };
        match secrets.len() {
            0 => return Err("is empty; write a secret a line".to_owned()),
            1..=MOST => {}
            _ => return Err(format!("has more than {MOST} secrets; take old ones out")),
        }
        if let Some(at) = secrets.iter().position(|one| !is_fine(one)) {
            return Err(format!(
                "has a secret, number {}, that is not 16 to 4096 visible ASCII characters without a blank; `openssl rand -hex 32` makes one",
                at + 1
            ));
        }
        let tags = secrets.iter().map(|one| sign(&key, one.as_bytes()));
        Ok(Self {
            tags: tags.collect(),
            key,
        })
    }
}

/// Reads the secrets of a file.
pub(super) fn source(path: &Path, section: &str) -> Source<Secrets> {
    Source {
        files: vec![File {
            setting: format!("{section}.bearer_file"),
            path: path.to_owned(),
        }],
        make: Box::new(|files, contents| {
            let (Some(file), Some(text)) = (files.first(), contents.first()) else {
                return Err("no file".to_owned());
            };
            Secrets::read(text).map_err(|why| file.error(&why))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_secret_and_what_is_none_is_named_without_being_shown() {
        let secrets = Secrets::read(b"0123456789abcdef\r\n\n  fedcba9876543210\n").unwrap();
        assert!(secrets.have(b"0123456789abcdef") && secrets.have(b"fedcba9876543210"));
        for wrong in [
            "",
            "0123456789abcde",
            "0123456789abcdeff",
            "0123456789ABCDEF",
        ] {
            assert!(!secrets.have(wrong.as_bytes()), "{wrong}");
        }
        for (text, says) in [
            ("", "is empty"),
            ("0123456789abcdef\nshort", "number 2"),
            ("two words 0123456789", "number 1"),
            ("\u{fc}0123456789abcdef", "number 1"),
        ] {
            let error = Secrets::read(text.as_bytes()).unwrap_err();
            assert!(error.contains(says) && !error.contains("short"), "{error}");
        }
        let many = "0123456789abcdef\n".repeat(MOST + 1);
        assert!(Secrets::read(many.as_bytes()).is_err());
    }
}
