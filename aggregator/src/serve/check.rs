//! What can be said of the settings of listeners before anything starts.

use super::allow::Gate;
use super::settings::{Listen, ListenerSettings};
use super::tls;
use std::path::Path;

/// Returns problems of the files of listeners, and notes on files that are not here and on whom the
/// listeners let in.
pub(crate) fn check_listeners(listen: &Listen) -> (Vec<String>, Vec<String>) {
    let (mut problems, mut notes) = (Vec::new(), listen.warnings());
    for (setting, listener, _) in listen.listeners() {
        let section = setting.trim_end_matches("listen");
        let missing = missing(listener);
        if missing.is_empty() {
            let made = listener.tls.as_ref();
            let made = made.map(|one| tls::source(one, &format!("{section}tls"), false).load());
            problems.extend(made.and_then(Result::err));
            let allow = listener.allow.as_ref();
            let checked = allow.map(|allow| Gate::check(allow, &format!("{section}allow")));
            problems.extend(checked.into_iter().flatten());
        }
        notes.extend(missing);
    }
    (problems, notes)
}

/// Returns a note for each file that cannot be opened here. It may exist on another machine.
fn missing(listener: &ListenerSettings) -> Vec<String> {
    let tls = listener.tls.iter();
    let tls = tls.flat_map(|tls| [&tls.cert_file, &tls.key_file]);
    let allow = listener.allow.iter();
    let allow = allow.flat_map(|allow| {
        let ca = allow.client_certificates.as_ref().map(|one| &one.ca_file);
        ca.into_iter().chain(allow.bearer_file.as_ref())
    });
    let told = |path: &Path| {
        let error = std::fs::File::open(path).err()?;
        Some(format!("{} cannot be read here: {error}", path.display()))
    };
    tls.chain(allow).filter_map(|path| told(path)).collect()
}

impl Listen {
    /// Returns what listeners give away to whoever reaches them from another machine.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let main = &self.main;
        let mut warnings = Vec::new();
        if main.is_open() && main.allow.is_none() {
            warnings.push(format!(
                "listen: {}: whoever reaches it gets the placement key; set `allow`, listen on 127.0.0.1, or let a NetworkPolicy or a mesh let only proxies in",
                main.at
            ));
        }
        let people = self.people.as_ref().map(|people| ("people.", people));
        for (section, listener) in [("", main)].into_iter().chain(people) {
            let shown = listener.allow.as_ref();
            let shows = shown.is_some_and(|allow| {
                allow.bearer_file.is_some() || allow.service_accounts.is_some()
            });
            if listener.is_open() && shows && listener.tls.is_none() {
                warnings.push(format!(
                    "{section}listen: {}: secrets of callers travel in plain text; set `{section}tls`, or let a mesh encrypt",
                    listener.at
                ));
            }
        }
        warnings
    }
}
