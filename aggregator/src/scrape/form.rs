//! Chooses the form of the page to ask a target for: the whole page, or the needed series alone.
//!
//! A whole vLLM page costs the model server 10 to 20 ms in the process that streams tokens.
//! `/metrics/?name[]=...` (the slash matters) costs less than a tenth. Servers that cannot select
//! answer the whole page, 404, or, with several processes, an empty page with status 200. So the
//! selection is tried for each target and compared with the whole page.

use super::client::Client;
use super::failure::{Failure, Looks};
use super::fetch::{Answer, Heard, get};
use super::settings::Scrape;
use crate::members::{MetricsAt, Target};
use crate::metrics::PoolMetrics;
use crate::scrape::page::{Engine, Page, Processes, Reading, read_on};
use hyper::Uri;
use hyper::http::uri::Parts;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use trimtab_estimate::Sample;

/// After this time a server that cannot select is tried again, because another may have replaced
/// it.
const ASK_AGAIN: Duration = Duration::from_secs(600);

#[derive(Debug)]
enum Form {
    /// Not known: at the first scrape, and after a failure, because another server may have
    /// replaced it.
    Unknown,
    /// The needed series alone, at this address.
    Selected(Uri),
    /// The whole page, until this time.
    Whole(Instant),
}

/// One target, and what was learned about its page.
#[derive(Debug)]
pub(super) struct Follower {
    target: Target,
    whole: Option<Uri>,
    form: Form,
    processes: Processes,
    heard: Arc<Heard>,
}

impl Follower {
    pub(super) fn new(target: &Target, settings: &Scrape) -> Self {
        Self {
            target: target.clone(),
            whole: uri(target, settings),
            form: Form::Unknown,
            processes: Processes::default(),
            heard: Arc::default(),
        }
    }

    /// Tells whether the server has begun to answer the scrape under way.
    pub(super) fn heard(&self) -> Arc<Heard> {
        Arc::clone(&self.heard)
    }

    /// Call this when a scrape was given up.
    pub(super) fn on_given_up(&mut self) {
        self.form = Form::Unknown;
    }

    /// Takes one sample, in the best form that the target supports. Has no time limit of its own.
    pub(super) async fn scrape(
        &mut self,
        client: &Client,
        settings: &Scrape,
        metrics: &PoolMetrics,
    ) -> Result<Sample, Failure> {
        self.heard.reset();
        let outcome = self.attempt(client, settings, metrics).await;
        if outcome.is_err() {
            self.form = Form::Unknown;
        }
        outcome
    }

    async fn attempt(
        &mut self,
        client: &Client,
        settings: &Scrape,
        metrics: &PoolMetrics,
    ) -> Result<Sample, Failure> {
        let said = self.target.engine.or(settings.engine);
        if let Form::Selected(uri) = &self.form {
            let answer = get(client, uri, settings, &self.heard).await;
            match answer.and_then(|answer| self.reading(&answer, said, metrics)) {
                Ok(reading) => return Ok(reading.sample),
                // The server answered, but without these series. It may have been replaced, so the
                // whole page is asked for.
                Err(Failure::Status(_) | Failure::NoSignals(..)) => self.form = Form::Unknown,
                Err(failure) => return Err(failure),
            }
        }
        let Some(whole) = &self.whole else {
            return Err(Failure::Connect("not an address".into()));
        };
        let answer = get(client, whole, settings, &self.heard).await?;
        let found = self.reading(&answer, said, metrics)?;
        metrics.whole_pages.inc();
        let try_selection = match self.form {
            Form::Unknown => settings.select,
            Form::Whole(until) => settings.select && Instant::now() >= until,
            Form::Selected(_) => false,
        };
        if try_selection {
            let selected = self
                .selection(client, settings, &found, answer.bytes.len(), metrics)
                .await;
            self.form =
                selected.map_or_else(|| Form::Whole(Instant::now() + ASK_AGAIN), Form::Selected);
        }
        Ok(found.sample)
    }

    /// Returns the address of the selection if its answer has every signal of the whole page and is
    /// smaller.
    async fn selection(
        &mut self,
        client: &Client,
        settings: &Scrape,
        whole: &Reading,
        whole_bytes: usize,
        metrics: &PoolMetrics,
    ) -> Option<Uri> {
        let page = self.whole.clone()?;
        let path = page.path_and_query()?;
        let path = selection_path(path.as_str(), whole.engine)?;
        let uri = at(page.into_parts(), &path)?;
        // The timeout bounds the attempt, because the sample from the whole page is getting old.
        let asked = get(client, &uri, settings, &self.heard);
        let answer = tokio::time::timeout(settings.timeout, asked).await;
        let answer = answer.ok()?.ok()?;
        let found = self.reading(&answer, Some(whole.engine), metrics).ok()?;
        let works = answer.bytes.len() < whole_bytes && has_all(&whole.sample, &found.sample);
        tracing::debug!(
            endpoint = self.target.spec.address,
            works,
            bytes = answer.bytes.len(),
            whole_bytes,
            "tried selected series"
        );
        works.then_some(uri)
    }
}

impl Follower {
    fn reading(
        &mut self,
        answer: &Answer,
        engine: Option<&'static Engine>,
        metrics: &PoolMetrics,
    ) -> Result<Reading, Failure> {
        metrics.scrape_bytes.inc_by(answer.bytes.len() as u64);
        let page = Page {
            bytes: &answer.bytes,
            complete: answer.complete,
        };
        let now = Instant::now().into_std();
        read_on(page, engine, &mut self.processes, now)
            .ok_or_else(|| Failure::NoSignals(answer.bytes.len(), Looks::of(&answer.bytes)))
    }
}

/// Returns the address of the target's page.
fn uri(target: &Target, settings: &Scrape) -> Option<Uri> {
    match &target.metrics {
        MetricsAt::Url(url) => Some(url.clone()),
        MetricsAt::Address(address) => Uri::builder()
            .scheme(if settings.https { "https" } else { "http" })
            .authority(address.to_string())
            .path_and_query(settings.path.as_str())
            .build()
            .ok(),
    }
}

/// Returns the address of another page of the same server.
fn at(mut parts: Parts, path: &str) -> Option<Uri> {
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Returns `/metrics/?name[]=a&name[]=b`. `None` for a path with a query of its own: no stock
/// exporter has that.
fn selection_path(path: &str, engine: &Engine) -> Option<String> {
    if path.contains('?') {
        return None;
    }
    let mut selection = format!("{}/?", path.trim_end_matches('/'));
    for (index, name) in engine.names_on_page().iter().enumerate() {
        selection.push_str(if index == 0 { "name[]=" } else { "&name[]=" });
        selection.push_str(name);
    }
    Some(selection)
}

/// Whether `selected` has every signal that `whole` has.
fn has_all(whole: &Sample, selected: &Sample) -> bool {
    present(whole)
        .iter()
        .zip(present(selected))
        .all(|(whole, selected)| selected || !whole)
}

fn present(sample: &Sample) -> [bool; 20] {
    let counters = &sample.counters;
    [
        sample.waiting.is_some(),
        sample.running.is_some(),
        sample.kv_used.is_some(),
        sample.kv_blocks.is_some(),
        sample.kv_block_tokens.is_some(),
        sample.batch_limit.is_some(),
        sample.queued_tokens.is_some(),
        sample.start_time_s.is_some(),
        sample.awake.is_some(),
        sample.adapters.is_some(),
        counters.prompt_tokens.is_some(),
        counters.cached_tokens.is_some(),
        counters.prefix_queries.is_some(),
        counters.prefix_hits.is_some(),
        counters.generation_tokens.is_some(),
        counters.finished.is_some(),
        counters.step_tokens.is_some(),
        counters.ttft_s.is_some(),
        counters.itl_s.is_some(),
        counters.e2e_s.is_some(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selection_names_series_as_the_server_writes_them() {
        let engine = Engine::by_name("vllm").expect("known");
        let path = selection_path("/metrics", engine).expect("a plain path");
        assert!(path.starts_with("/metrics/?name[]="), "{path}");
        for name in [
            "vllm:num_requests_waiting",
            "vllm:iteration_tokens_total_sum",
            "vllm:lora_requests_info",
            "process_start_time_seconds",
        ] {
            assert!(
                path.split(['=', '&']).any(|part| part == name),
                "{name} in {path}"
            );
        }
        assert!(path.parse::<Uri>().is_ok());
        assert_eq!(selection_path("/v1/loads?include=core", engine), None);
        let triton = Engine::by_name("triton-tensorrt-llm").expect("known");
        assert_eq!(
            selection_path("/metrics/", triton)
                .map(|path| path.matches("nv_trt_llm_request_metrics").count()),
            Some(1)
        );
    }
}
