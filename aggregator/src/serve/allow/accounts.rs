//! Tokens of Kubernetes' service accounts: the API server says whose they are.
//!
//! An answer is remembered, so the API server is asked seldom, and proxies go on while it is away.
//! Memory is bounded: tokens that are allowed push nobody out, the rest is forgotten when there are
//! too many.

use super::settings::ServiceAccounts;
use super::{Denied, Shown};
use crate::members::kubernetes::connect;
use crate::metrics::labels::Judged;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::{Api, PostParams};
use ring::digest::{SHA256, digest};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How many tokens that are allowed are remembered.
const MOST_ALLOWED: usize = 20_000;
/// How many others are.
const MOST_DENIED: usize = 1_024;
/// How long a token that is not allowed needs no further question, at most.
const DENIED_FOR: Duration = Duration::from_secs(30);
/// How many questions may be under way.
const QUESTIONS: usize = 8;
/// How long a caller waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

type Digest = [u8; 32];

/// Judges tokens.
pub(super) struct Accounts {
    settings: ServiceAccounts,
    client: tokio::sync::Mutex<Option<kube::Client>>,
    questions: Semaphore,
    known: Mutex<Known>,
    /// Why the API server could not be asked, as the log has it. Absent: it could.
    failing: Mutex<Option<String>>,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What the API server has answered, and until when that counts.
#[derive(Debug, Default)]
struct Known {
    allowed: HashMap<Digest, Instant>,
    denied: HashMap<Digest, (Instant, Denied)>,
}

impl Known {
    fn get(&self, token: &Digest, now: Instant) -> Option<Shown> {
        if self.allowed.get(token).is_some_and(|until| now < *until) {
            return Some(Shown::Allowed(Judged::ServiceAccount));
        }
        let (until, denied) = self.denied.get(token)?;
        (now < *until).then(|| Shown::Denied(denied.clone()))
    }

    fn allow(&mut self, token: Digest, now: Instant, until: Instant) {
        if self.allowed.len() >= MOST_ALLOWED {
            self.allowed.retain(|_, until| now < *until);
        }
        if self.allowed.len() < MOST_ALLOWED {
            self.allowed.insert(token, until);
        }
    }

    fn deny(&mut self, token: Digest, until: Instant, denied: Denied) {
        if self.denied.len() >= MOST_DENIED {
            self.denied.clear();
        }
        self.denied.insert(token, (until, denied));
    }
}

/// Whether a text has the form of a token, so that nothing else is sent to the API server.
pub(super) fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let parts: Vec<&str> = text.split('.').take(4).collect();
    parts.len() == 3
        && parts
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(allowed))
}

impl Accounts {
    pub(super) fn new(settings: ServiceAccounts) -> Self {
        Self {
            settings,
            client: tokio::sync::Mutex::default(),
            questions: Semaphore::new(QUESTIONS),
            known: Mutex::default(),
            failing: Mutex::default(),
        }
    }

    fn known(&self, token: &Digest) -> Option<Shown> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(token, Instant::now())
    }

    /// Judges a token by what is remembered, else asks.
    pub(super) async fn judge(&self, token: &str) -> Shown {
        let mut key = Digest::default();
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        if let Some(known) = self.known(&key) {
            return known;
        }
        let asked = timeout(ANSWER_WITHIN, self.ask(&key, token)).await;
        asked.unwrap_or_else(|_| {
            let limit = ANSWER_WITHIN.as_secs();
            self.away(&format!("no answer within {limit} s"))
        })
    }

    async fn ask(&self, key: &Digest, token: &str) -> Shown {
        // The semaphore is never closed.
        let _place = self.questions.acquire().await.ok();
        // Another request with this token may have asked meanwhile.
        if let Some(known) = self.known(key) {
            return known;
        }
        let status = match self.review(token).await {
            Ok(status) => status,
            Err(why) => return self.away(&why),
        };
        self.failing().take();
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match self.verdict(&status) {
            Ok(()) => {
                known.allow(*key, now, now + self.settings.remember);
                Shown::Allowed(Judged::ServiceAccount)
            }
            Err(denied) => {
                let until = now + DENIED_FOR.min(self.settings.remember);
                known.deny(*key, until, denied.clone());
                Shown::Denied(denied)
            }
        }
    }

    async fn review(&self, token: &str) -> Result<TokenReviewStatus, String> {
        let mut kept = self.client.lock().await;
        let client = match &*kept {
            Some(client) => client.clone(),
            None => {
                let client = connect(&self.settings.reading).await?;
                kept.insert(client).clone()
            }
        };
        drop(kept);
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![self.settings.audience.clone()]),
                token: Some(token.to_owned()),
            },
            ..TokenReview::default()
        };
        match Api::all(client)
            .create(&PostParams::default(), &review)
            .await
        {
            Ok(answer) => Ok(answer.status.unwrap_or_default()),
            Err(kube::Error::Api(status)) if status.code == 403 => Err(
                "it refuses tokenreviews; a ClusterRole has to allow: apiGroups [\"authentication.k8s.io\"], resources [\"tokenreviews\"], verbs [\"create\"]".to_owned(),
            ),
            Err(kube::Error::Api(status)) => {
                Err(format!("it answers {}: {}", status.code, status.message))
            }
            Err(error) => {
                // Its certificate or address may be another by now.
                self.client.lock().await.take();
                Err(error.to_string())
            }
        }
    }

    fn failing(&self) -> MutexGuard<'_, Option<String>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a token that could not be asked about. The log says each reason once in a row: any
    /// caller can bring this about.
    fn away(&self, why: &str) -> Shown {
        let mut failing = self.failing();
        if failing.as_deref() != Some(why) {
            tracing::warn!(why, "the API server does not say whose tokens are shown");
            *failing = Some(why.to_owned());
        }
        Shown::Denied(Denied::not_known(format!(
            "the API server does not say whose token that is: {why}"
        )))
    }

    /// Judges an answer of the API server.
    fn verdict(&self, status: &TokenReviewStatus) -> Result<(), Denied> {
        let audience = &self.settings.audience;
        if status.authenticated != Some(true) {
            let why = status.error.as_deref().unwrap_or("it does not say why");
            return Err(Denied::wrong(format!(
                "the API server does not accept your token: {why}; ask for one with the audience `{audience}`"
            )));
        }
        let audiences = status.audiences.as_deref().unwrap_or_default();
        // One that knows no audiences lists none, and has checked none.
        if !audiences.contains(audience) {
            return Err(Denied::wrong(format!(
                "your token is not of the audience `{audience}`; ask for one that is"
            )));
        }
        let user = status.user.as_ref();
        let name = user
            .and_then(|user| user.username.as_deref())
            .unwrap_or_default();
        let account = name.strip_prefix("system:serviceaccount:");
        let account = account.and_then(|account| account.split_once(':'));
        let is_allowed = account.is_some_and(|(namespace, name)| {
            let accounts = &self.settings.accounts;
            accounts
                .iter()
                .any(|one| one.namespace == namespace && one.name == name)
        });
        match is_allowed {
            true => Ok(()),
            false => Err(Denied::not_allowed(format!(
                "{name} is not allowed; add it to `service_accounts.accounts` as namespace/name"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use k8s_openapi::api::authentication::v1::UserInfo;

    #[test]
    fn what_is_remembered_is_bounded_and_ends() {
        let (mut known, now) = (Known::default(), Instant::now());
        let key = |n: usize| {
            let mut key = Digest::default();
            key[..8].copy_from_slice(&n.to_le_bytes());
            key
        };
        let later = now + Duration::from_secs(1);
        for n in 0..MOST_ALLOWED + 10 {
            known.allow(key(n), now, later);
            known.deny(key(n + 1_000_000), later, Denied::wrong(String::new()));
        }
        assert!(known.allowed.len() == MOST_ALLOWED && known.denied.len() <= MOST_DENIED);
        assert!(known.get(&key(0), now).is_some() && known.get(&key(0), later).is_none());
        // What has ended gives its place.
        known.allow(key(7_000_000), later, later + Duration::from_secs(1));
        assert_eq!(known.allowed.len(), 1);
    }

    #[test]
    fn an_answer_counts_with_our_audience_and_an_account_that_is_listed() {
        let text = "service_accounts: {accounts: [default/gateway]}";
        let value = crate::yaml::yaml(text).unwrap();
        let s = trimtab_settings::Settings::new(&value);
        let allow = super::super::settings::Allow::read(&s);
        let accounts = Accounts::new(s.finish(allow).unwrap().service_accounts.unwrap());
        let judge = |authenticated, audiences: &[&str], user: &str| {
            let status = TokenReviewStatus {
                authenticated: Some(authenticated),
                audiences: Some(audiences.iter().map(|one| (*one).to_owned()).collect()),
                user: Some(UserInfo {
                    username: Some(user.to_owned()),
                    ..UserInfo::default()
                }),
                ..TokenReviewStatus::default()
            };
            accounts.verdict(&status).map_err(|denied| denied.status)
        };
        let own = "system:serviceaccount:default:gateway";
        let (wrong, not_allowed) = (StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN);
        assert_eq!(judge(true, &["trimtab"], own), Ok(()));
        assert_eq!(judge(false, &["trimtab"], own), Err(wrong));
        assert_eq!(judge(true, &[], own), Err(wrong));
        assert_eq!(judge(true, &["kubernetes"], own), Err(wrong));
        for other in [
            "system:serviceaccount:other:gateway",
            "default:gateway",
            "gateway",
        ] {
            assert_eq!(
                judge(true, &["trimtab"], other),
                Err(not_allowed),
                "{other}"
            );
        }
        assert!(is_token("a.b-_.c") && !is_token("a.b") && !is_token("a..c"));
        assert!(!is_token("a.b.c.d") && !is_token("a.b.c\n"));
    }
}
