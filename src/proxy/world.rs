//! The world of a live VM: the machine's clock, the program's log, the clusters of the command
//! line.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use trimtab_wasmhost::{HttpCall, LogLevel, Status, World};

use super::callout::Callouts;
use super::messages::{Event, Mailbox};

/// The world of one VM.
#[derive(Debug)]
pub(super) struct Live {
    /// Number of the VM in its worker. With it, answers for a VM that has trapped do not reach the
    /// next VM.
    pub(super) vm: u64,
    pub(super) mailbox: Mailbox,
    pub(super) callouts: Arc<Callouts>,
    pub(super) runtime: Handle,
}

impl World for Live {
    fn now_ns(&mut self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        let message = String::from_utf8_lossy(message);
        match level {
            LogLevel::Trace => tracing::trace!(target: "filter", "{message}"),
            LogLevel::Debug => tracing::debug!(target: "filter", "{message}"),
            LogLevel::Info => tracing::info!(target: "filter", "{message}"),
            LogLevel::Warn => tracing::warn!(target: "filter", "{message}"),
            LogLevel::Error | LogLevel::Critical => tracing::error!(target: "filter", "{message}"),
        }
    }

    fn http_call(&mut self, call: HttpCall) -> Result<(), Status> {
        let authority = self
            .callouts
            .authority(&call.cluster)
            .ok_or(Status::BAD_ARGUMENT)?;
        let (callouts, mailbox, vm) = (Arc::clone(&self.callouts), self.mailbox.clone(), self.vm);
        self.runtime.spawn(async move {
            let token = call.token;
            let answer = callouts.send(&authority, call).await;
            mailbox.send(Event::CallDone { vm, token, answer });
        });
        Ok(())
    }

    fn property(&mut self, path: &[u8]) -> Option<Vec<u8>> {
        match path {
            b"plugin_name" => Some(b"trimtab".to_vec()),
            b"plugin_root_id" | b"plugin_vm_id" => Some(Vec::new()),
            b"node\0id" => Some(b"trimtab-proxy".to_vec()),
            _ => None,
        }
    }
}
