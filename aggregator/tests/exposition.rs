//! Pages of model servers become the signals that a person reads from them. From cut pages and
//! noise come only right or absent values.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's helper fails by panicking"
)]

use proptest::prelude::*;
use std::path::{Path, PathBuf};
use trimtab_aggregator::page::{Page, Reading, read};
use trimtab_estimate::{Adapters, Counters, Sample, SumCount};

fn own(name: &str) -> Vec<u8> {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages");
    std::fs::read(pages.join(name)).expect(name)
}

fn pages_in(folder: &Path) -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    pages.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "prom")
    });
    pages.sort();
    pages
}

/// The project's own pages, and a collection of captured ones if it exists.
fn all_pages() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let captured = root.join("../../shared/fixtures/metrics");
    let mut pages = pages_in(&root.join("tests/pages"));
    assert!(pages.len() >= 8, "the project's own pages are missing");
    if captured.is_dir() {
        pages.extend(pages_in(&captured));
    }
    pages
        .into_iter()
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(path).unwrap(),
            )
        })
        .collect()
}

fn reading(page: &[u8]) -> Reading {
    read(Page::whole(page), None).expect("a page with load")
}

fn total(sum: f64, count: f64) -> Option<SumCount> {
    Some(SumCount { sum, count })
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn vllm_v1_gives_every_signal() {
    let expected = Sample {
        waiting: Some(3.0),
        running: Some(12.0),
        kv_used: Some(0.4375),
        kv_blocks: Some(27_500.0),
        kv_block_tokens: Some(16.0),
        start_time_s: Some(1.76e9),
        counters: Counters {
            prompt_tokens: Some(88_000.0),
            cached_tokens: Some(29_000.0),
            prefix_queries: Some(90_000.0),
            prefix_hits: Some(30_000.0),
            generation_tokens: Some(45_000.0),
            finished: Some(100.0),
            step_tokens: total(133_000.0, 5_000.0),
            ttft_s: total(22.5, 110.0),
            itl_s: total(897.8, 44_890.0),
            e2e_s: total(900.0, 100.0),
        },
        // The newer of two combinations, by its value.
        adapters: Some(Adapters {
            running: names(&["law", "sql"]),
            waiting: names(&["art"]),
            slots: Some(4),
            loaded: None,
        }),
        ..Sample::default()
    };
    let reading = reading(&own("vllm-v1.prom"));
    assert_eq!((reading.engine.name, reading.sample), ("vllm", expected));
}

#[test]
fn vllm_v0_gives_its_older_names_and_none_is_no_number() {
    let expected = Sample {
        waiting: Some(0.0),
        running: Some(4.0),
        kv_used: Some(0.125),
        kv_block_tokens: Some(32.0),
        counters: Counters {
            prompt_tokens: Some(12_345_678.0),
            generation_tokens: Some(654_321.0),
            itl_s: total(13_000.0, 650_000.0),
            ..Counters::default()
        },
        ..Sample::default()
    };
    assert_eq!(reading(&own("vllm-v0.prom")).sample, expected);
}

#[test]
fn data_parallel_engines_of_one_server_add_up_and_the_fullest_cache_counts() {
    let expected = Sample {
        waiting: Some(9.0),
        running: Some(12.0),
        kv_used: Some(0.875),
        kv_blocks: Some(2_000.0),
        kv_block_tokens: Some(16.0),
        counters: Counters {
            ttft_s: total(4.0, 30.0),
            ..Counters::default()
        },
        ..Sample::default()
    };
    assert_eq!(reading(&own("vllm-dp.prom")).sample, expected);
}

#[test]
fn openmetrics_with_renamed_samples_time_stamps_and_exemplars_reads_the_same() {
    let expected = Sample {
        waiting: Some(1.0),
        running: Some(2.0),
        kv_used: Some(0.5),
        counters: Counters {
            prompt_tokens: Some(4_096.0),
            ttft_s: total(0.75, 4.0),
            ..Counters::default()
        },
        ..Sample::default()
    };
    assert_eq!(reading(&own("vllm-openmetrics.prom")).sample, expected);
}

#[test]
fn sglang_adds_ranks_and_queues_and_skips_copies_and_parts() {
    let expected = Sample {
        // The queues of both ranks without the part of priority 5, and two queues of a
        // disaggregated decoder.
        waiting: Some(2.0 + 1.0 + 4.0 + 3.0),
        running: Some(16.0),
        kv_used: Some(0.75),
        kv_blocks: Some(6_000.0),
        kv_block_tokens: Some(64.0),
        counters: Counters {
            prompt_tokens: Some(8_128_902.0),
            cached_tokens: Some(1_128_902.0),
            generation_tokens: Some(750_000.0),
            finished: Some(4_000.0),
            ttft_s: total(30.0, 100.0),
            ..Counters::default()
        },
        ..Sample::default()
    };
    let new = reading(&own("sglang-new.prom"));
    assert_eq!((new.engine.name, new.sample), ("sglang", expected));
    let old = Sample {
        waiting: Some(0.0),
        running: Some(0.0),
        kv_used: Some(0.0),
        kv_blocks: Some(150_000.0),
        kv_block_tokens: Some(1.0),
        ..Sample::default()
    };
    assert_eq!(reading(&own("sglang-old.prom")).sample, old);
    let loads = Sample {
        waiting: Some(2.0),
        running: Some(3.0),
        kv_used: Some(0.5),
        batch_limit: Some(128.0),
        queued_tokens: Some(5_120.0),
        ..Sample::default()
    };
    assert_eq!(reading(&own("sglang-loads.prom")).sample, loads);
}

#[test]
fn ugly_lines_are_read_broken_ones_left_out_and_nan_is_absent() {
    let expected = Sample {
        waiting: Some(2.0),
        running: Some(3.0),
        counters: Counters {
            finished: Some(100.0),
            ..Counters::default()
        },
        adapters: Some(Adapters {
            running: names(&["a", "b"]),
            waiting: vec![],
            slots: Some(2),
            loaded: None,
        }),
        ..Sample::default()
    };
    let page = own("quirks.prom");
    assert_eq!(reading(&page).sample, expected);
    // If the end is not known, the last line, `... 1e2`, may be the beginning of `1e23`.
    let cut = read(
        Page {
            bytes: &page,
            complete: false,
        },
        None,
    )
    .unwrap();
    assert_eq!(cut.sample.counters.finished, None);
}

#[test]
fn a_page_without_load_is_no_idle_server() {
    for page in [
        "",
        "# EOF\n",
        "up 1\n",
        "[{\"iter\": 1, \"numActiveRequests\": 0}]",
        "<html>vllm:num_requests_waiting 0</html>",
        "vllm:prompt_tokens_total 5\n",
    ] {
        assert_eq!(read(Page::whole(page.as_bytes()), None), None, "{page}");
    }
    let sglang = trimtab_aggregator::page::Engine::by_name("sglang");
    assert_eq!(
        read(Page::whole(&own("vllm-v1.prom")), sglang),
        None,
        "the operator says SGLang and the page does not"
    );
}

#[test]
fn a_page_cut_at_any_byte_never_invents_a_signal() {
    for (name, page) in all_pages() {
        let whole = read(Page::whole(&page), None);
        let stride = (page.len() / 300).max(1);
        for end in (0..page.len()).step_by(stride) {
            let part = Page {
                bytes: &page[..end],
                complete: false,
            };
            let Some(cut) = read(part, None) else {
                continue;
            };
            let whole = whole
                .as_ref()
                .unwrap_or_else(|| panic!("{name} has load only when cut at {end}"));
            // Sums may be smaller. Values of one series are the same or absent.
            let (cut, whole) = (&cut.sample, &whole.sample);
            for (cut, whole) in [(cut.running, whole.running), (cut.waiting, whole.waiting)] {
                assert!(
                    cut.is_none_or(|cut| whole.is_some_and(|whole| cut <= whole)),
                    "{name} cut at {end}: {cut:?} of {whole:?}"
                );
            }
            assert!(
                cut.kv_used.is_none() || whole.kv_used.is_some(),
                "{name} cut at {end}"
            );
            // The cut page is passed as whole: any number is allowed, but it must be finite and not
            // negative.
            sound(read(Page::whole(&page[..end]), None)).unwrap();
        }
    }
}

/// Whether the load signals of a page are finite and not negative.
fn sound(reading: Option<Reading>) -> Result<(), String> {
    let Some(reading) = reading else {
        return Ok(());
    };
    let sample = reading.sample.cleaned();
    let numbers = [sample.kv_used, sample.waiting, sample.running];
    match numbers
        .into_iter()
        .flatten()
        .all(|number| number.is_finite() && number >= 0.0)
    {
        true => Ok(()),
        false => Err(format!("{sample:?}")),
    }
}

#[test]
fn every_own_page_is_cut_at_every_single_byte() {
    for path in pages_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages")) {
        let page = std::fs::read(path).unwrap();
        for end in 0..=page.len() {
            let cut = Page {
                bytes: &page[..end],
                complete: end % 2 == 0,
            };
            sound(read(cut, None)).unwrap();
        }
    }
}

/// A second opinion: prometheus-parse, on lines that it can read.
#[test]
fn an_independent_parser_sees_the_same_numbers() {
    let mut compared = 0;
    for (name, page) in all_pages() {
        let Some(reading) = read(Page::whole(&page), None) else {
            continue;
        };
        let text = String::from_utf8_lossy(&page).replace(':', "_");
        let lines = text.lines().map(|line| Ok(line.trim().to_owned()));
        let scrape = prometheus_parse::Scrape::parse(lines).unwrap();
        let series: Vec<&str> = match reading.engine.name {
            "vllm" => vec!["vllm_num_requests_waiting", "ray_vllm_num_requests_waiting"],
            "tgi" => vec!["tgi_queue_size"],
            "llamacpp" => vec!["llamacpp_requests_deferred"],
            "nim" => vec!["num_requests_waiting"],
            _ => continue,
        };
        let values: Vec<f64> = scrape
            .samples
            .iter()
            .filter(|sample| series.contains(&sample.metric.as_str()))
            .filter_map(|sample| match sample.value {
                prometheus_parse::Value::Gauge(value)
                | prometheus_parse::Value::Untyped(value)
                | prometheus_parse::Value::Counter(value) => Some(value),
                _ => None,
            })
            .filter(|value| !value.is_nan())
            .collect();
        if name == "quirks.prom" || values.is_empty() {
            continue;
        }
        assert_eq!(reading.sample.waiting, Some(values.iter().sum()), "{name}");
        compared += 1;
    }
    assert!(compared >= 4, "only {compared} pages were compared");
}

proptest! {
    #[test]
    fn mutated_pages_are_read_or_refused(index in any::<prop::sample::Index>(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let pages = pages_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages"));
        let mut page = std::fs::read(index.get(&pages)).unwrap();
        for (at, byte) in edits {
            let at = at.index(page.len());
            page[at] = byte;
        }
        prop_assert_eq!(sound(read(Page::whole(&page), None)), Ok(()));
    }

    #[test]
    fn any_bytes_are_read_or_refused(page in prop::collection::vec(any::<u8>(), 0..2_000), lines in prop::collection::vec("vllm:num_requests_(running|waiting)[{a=\"\\\\,} 0-9.eNa]{0,30}", 0..20)) {
        let mut bytes = lines.join("\n").into_bytes();
        bytes.extend(page);
        prop_assert_eq!(sound(read(Page::whole(&bytes), None)), Ok(()));
    }
}

#[test]
fn adapters_that_are_loaded_are_told_from_those_in_use() {
    let load = "vllm:num_requests_running{engine=\"0\"} 1\n";
    let adapters = |text: &str| reading(format!("{load}{text}").as_bytes()).sample.adapters;
    let used = "vllm:lora_requests_info{max_lora=\"2\",running_lora_adapters=\"sql\",waiting_lora_adapters=\"\"} 1.79e9\n";
    let counted = |count| {
        format!(
            "vllm:num_gpu_loaded_lora_adapters{{engine=\"0\"}} {count}\nvllm:max_gpu_lora_adapters{{engine=\"0\"}} 4\n"
        )
    };
    let loaded = "\
vllm:lora_adapter_loaded{engine=\"0\",adapter_name=\"sql\",level=\"gpu\",pinned=\"false\"} 1
vllm:lora_adapter_loaded{engine=\"0\",adapter_name=\"law\",level=\"gpu\",pinned=\"true\"} 1
vllm:lora_adapter_loaded{engine=\"1\",adapter_name=\"sql\",level=\"gpu\",pinned=\"false\"} 1
vllm:lora_adapter_loaded{engine=\"0\",adapter_name=\"art\",level=\"cpu\",pinned=\"false\"} 1
vllm:lora_adapter_loaded{engine=\"0\",adapter_name=\"old\",level=\"gpu\",pinned=\"false\"} 0
";
    let both = adapters(&format!("{used}{}{loaded}", counted(2))).unwrap();
    assert_eq!((both.running, both.slots), (names(&["sql"]), Some(4)));
    assert_eq!(both.loaded, Some(names(&["law", "sql"])));
    let alone = adapters(&format!("{}{loaded}", counted(2))).unwrap();
    assert_eq!(alone.loaded, Some(names(&["law", "sql"])));
    assert_eq!(
        alone.slots, None,
        "what runs is not told, so free slots are not known"
    );
    let none = adapters(&counted(0)).unwrap();
    assert_eq!(none.loaded, Some(Vec::new()), "known to be none");
    assert_eq!(adapters(used).unwrap().loaded, None);
    assert_eq!(adapters(""), None);
}
