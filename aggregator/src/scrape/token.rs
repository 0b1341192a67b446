//! Reads the bearer token for metrics pages.

use super::failure::Failure;
use hyper::header::HeaderValue;
use std::path::Path;

/// Returns the header with the token in `file`. The file is read at each scrape because tokens
/// expire.
pub(super) async fn credentials(file: &Path) -> Result<HeaderValue, Failure> {
    let why = |why: String| Failure::Token(file.display().to_string(), why);
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
    let token = read.map_err(|error| why(error.to_string()))?;
    let token = token.map_err(|error| why(error.to_string()))?;
    let mut value = authorization(&token).map_err(|reason| why(reason.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Makes the header from the text of a token file. Some files contain "Bearer" before the token.
fn authorization(file: &str) -> Result<HeaderValue, &'static str> {
    let mut words = file.split_ascii_whitespace().peekable();
    words.next_if(|word| word.eq_ignore_ascii_case("bearer"));
    let token = words.next().ok_or("it is empty; write the token into it")?;
    if words.next().is_some() {
        return Err("it holds more than one word; write the token alone into it");
    }
    HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| "it holds what no header can; write the token alone into it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_with_or_without_its_scheme_and_anything_else_is_named() {
        for file in ["s3cret", "s3cret\n", " Bearer s3cret\r\n", "bearer  s3cret"] {
            let value = authorization(file).expect(file);
            assert_eq!(value, "Bearer s3cret", "{file}");
        }
        for (file, says) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("Bearer", "is empty"),
            ("one\ntwo", "more than one word"),
            ("Basic YTpi", "more than one word"),
            ("a\u{1}b", "no header can"),
        ] {
            let reason = authorization(file).expect_err(file);
            assert!(reason.contains(says), "{file:?}: {reason}");
        }
    }
}
