//! The HTTP interface. docs/wire.md is its specification.
//!
//! There are up to three listeners ([`listen`]), each for one or more [`role`]s: [`proxies`],
//! [`people`], [`health`]. [`allow`] decides who may speak there. Only answers to proxies' reports
//! carry the placement key.

pub(crate) mod allow;
mod body;
mod check;
pub(crate) mod connections;
pub(crate) mod files;
mod health;
pub(crate) mod listen;
mod people;
mod proxies;
pub(crate) mod role;
pub(crate) mod settings;
pub(crate) mod tls;

use crate::metrics::ListenerMetrics;
use crate::pool::registry::Registry;
use crate::pool::state::PoolState;
use allow::{Gate, guard};
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use role::Role;
use std::sync::Arc;
use tokio::sync::watch;

/// How many endpoints per pool are listed with the reason why their page is missing.
const MOST_REASONS: usize = 200;

pub(crate) use check::check_listeners;
pub(crate) use files::Checked;

/// What all handlers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) registry: Arc<Registry>,
    /// Of each listener.
    pub(crate) listeners: Vec<Arc<ListenerMetrics>>,
    /// Turns true when the aggregator stops.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Returns the routes of a listener that serves `roles`. The answer to any other path lists these
/// routes.
///
/// - `gate`: lets in those that may use them, but for health checks. Absent: everybody may.
pub(crate) fn router(shared: Arc<Shared>, roles: &[Role], gate: Option<&Arc<Gate>>) -> Router {
    let mut router = Router::new();
    for role in roles {
        let routes = match role {
            // The operator of a proxy looks at the table where the proxy gets it.
            Role::Proxies if !roles.contains(&Role::People) => {
                proxies::routes().route(people::TABLE, people::table())
            }
            Role::Proxies => proxies::routes(),
            Role::People => people::routes(),
            Role::Health => health::routes(),
        };
        router = router.merge(match (role, gate) {
            (Role::Proxies | Role::People, Some(gate)) => {
                routes.route_layer(from_fn_with_state(Arc::clone(gate), guard))
            }
            _ => routes,
        });
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
