//! What can be said of the settings of listeners before anything starts.

use super::allow::Gate;
use super::files::Checked;
use super::settings::Listen;
use super::tls;

/// Returns what is known of the files of listeners, and notes on whom the listeners let in.
pub(crate) fn check_listeners(listen: &Listen) -> Checked {
    let mut checked = Checked {
        notes: listen.warnings(),
        ..Checked::default()
    };
    for (setting, listener, _) in listen.listeners() {
        let section = setting.trim_end_matches("listen");
        if let Some(settings) = &listener.tls {
            tls::source(settings, &format!("{section}tls"), false).check(&mut checked);
        }
        if let Some(allow) = &listener.allow {
            Gate::check(allow, &format!("{section}allow"), &mut checked);
        }
    }
    checked
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
