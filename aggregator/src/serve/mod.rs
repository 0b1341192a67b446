//! The HTTP interface. docs/wire.md is its specification.
//!
//! There are up to three listeners ([`listen`]), each for one or more [`role`]s: [`proxies`],
//! [`people`], [`health`]. Only answers to proxies' reports carry the placement key.

mod body;
mod health;
pub(crate) mod listen;
mod people;
mod proxies;
pub(crate) mod role;
pub(crate) mod settings;

use crate::pool::registry::Registry;
use crate::pool::state::PoolState;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use role::Role;
use std::sync::Arc;
use tokio::sync::watch;

/// How many endpoints per pool are listed with the reason why their page is missing.
const MOST_REASONS: usize = 200;

/// What all handlers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) registry: Arc<Registry>,
    /// Turns true when the aggregator stops.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Returns the routes of a listener that serves `roles`. The answer to any other path lists these
/// routes.
pub(crate) fn router(shared: Arc<Shared>, roles: &[Role]) -> Router {
    let mut router = Router::new();
    for role in roles {
        router = match role {
            // The operator of a proxy looks at the table where the proxy gets it.
            Role::Proxies if !roles.contains(&Role::People) => router
                .merge(proxies::routes())
                .route(people::TABLE, people::table()),
            Role::Proxies => router.merge(proxies::routes()),
            Role::People => router.merge(people::routes()),
            Role::Health => router.merge(health::routes()),
        };
    }
    let paths: Vec<&str> = roles.iter().map(|role| role.paths()).collect();
    let here = format!("nothing is here; this listener has {}", paths.join(", "));
    let nothing = move || async { Refused(StatusCode::NOT_FOUND, here) };
    router.fallback(nothing).with_state(shared)
}

impl Shared {
    fn pool(&self, name: &str) -> Result<Arc<PoolState>, Refused> {
        self.registry.get(name).ok_or_else(|| {
            let pools = self.registry.all();
            let known: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
            let why = format!("no such pool; this aggregator has: {}", known.join(", "));
            Refused(StatusCode::NOT_FOUND, why)
        })
    }
}

/// A status, and a line that says why.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, self.1 + "\n").into_response()
    }
}
