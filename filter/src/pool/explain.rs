//! Why a request went where it went, as text for people:
//! `reason=prefix; endpoint=10.0.0.1:8000; wait_ms=12; ...`.

use std::fmt::Write as _;
use std::rc::Rc;

use trimtab_loadtable::Version;

/// One decision, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Explanation {
    /// Label of the reason, or what [`Self::take_back`] says.
    pub(crate) reason: &'static str,
    /// The first choice. Absent: no opinion.
    pub(crate) endpoint: Option<Rc<str>>,
    /// Predicted seconds until prefill starts there. Absent: not known.
    pub(crate) wait_s: Option<f64>,
    /// Endpoints that were weighed.
    pub(crate) candidates: u32,
    /// Endpoints that were left out because requests failed there.
    pub(crate) left_out: u32,
    /// The table, and its age in milliseconds. Absent: there was none.
    pub(crate) table: Option<(Version, u64)>,
    /// The pool, if there are several.
    pub(crate) pool: Option<Rc<str>>,
    /// What was known of the request; see [`crate::facts::explain`].
    pub(crate) facts: String,
    /// Absent: the request was placed. Present: it was observed. The inner value says where the
    /// proxy sent it, once that is known.
    pub(crate) observed: Option<Option<Went>>,
}

/// Where the proxy sent a request by itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Went {
    pub(crate) address: String,
    /// Predicted seconds until prefill starts there. Absent: not known.
    pub(crate) wait_s: Option<f64>,
}

impl Explanation {
    /// The decision has no effect: it did not get into the request's headers.
    pub(crate) fn take_back(&mut self) {
        self.reason = "not_placed";
        self.endpoint = None;
        self.wait_s = None;
    }

    /// Returns one line of printable ASCII.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("reason={}", self.reason);
        if let Some(pool) = &self.pool {
            add(&mut text, format_args!("pool={pool}"));
        }
        if let Some(endpoint) = &self.endpoint {
            add(&mut text, format_args!("endpoint={endpoint}"));
        }
        if let Some(wait_s) = self.wait_s {
            add(&mut text, format_args!("wait_ms={}", ms(wait_s)));
        }
        add(&mut text, format_args!("candidates={}", self.candidates));
        if self.left_out > 0 {
            add(&mut text, format_args!("left_out={}", self.left_out));
        }
        if let Some((version, age_ms)) = &self.table {
            let Version { epoch, sequence } = version;
            add(&mut text, format_args!("table={epoch:x}/{sequence}"));
            add(&mut text, format_args!("table_age_ms={age_ms}"));
        }
        add(&mut text, format_args!("{}", self.facts));
        if let Some(went) = &self.observed {
            add(&mut text, format_args!("mode=observe"));
            if let Some(went) = went {
                add(&mut text, format_args!("went={}", went.address));
                if let Some(wait_s) = went.wait_s {
                    add(&mut text, format_args!("went_wait_ms={}", ms(wait_s)));
                }
            }
        }
        text
    }
}

/// Converts to whole milliseconds: formatting fractions takes 10 KB of code.
fn ms(seconds: f64) -> u64 {
    // `as` from float saturates, and no wait is negative.
    (seconds * 1_000.0 + 0.5) as u64
}

fn add(text: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = write!(text, "; {part}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        let nothing = Explanation {
            reason: "no_table",
            endpoint: None,
            wait_s: None,
            candidates: 0,
            left_out: 0,
            table: None,
            pool: None,
            facts: "body=unread".into(),
            observed: None,
        };
        assert_eq!(nothing.text(), "reason=no_table; candidates=0; body=unread");
        let version = Version {
            epoch: 255,
            sequence: 7,
        };
        let all = Explanation {
            reason: "prefix",
            endpoint: Some("[::1]:80".into()),
            wait_s: Some(0.012_4),
            candidates: 4,
            left_out: 1,
            table: Some((version, 30)),
            pool: Some("chat".into()),
            facts: "body=whole; prompt_tokens=7".into(),
            observed: Some(Some(Went {
                address: "10.0.0.1:80".into(),
                wait_s: Some(1.0),
            })),
        };
        assert_eq!(
            all.text(),
            "reason=prefix; pool=chat; endpoint=[::1]:80; wait_ms=12; candidates=4; left_out=1; table=ff/7; table_age_ms=30; body=whole; prompt_tokens=7; mode=observe; went=10.0.0.1:80; went_wait_ms=1000"
        );
    }
}
