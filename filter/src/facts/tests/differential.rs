//! Compares the reader of the stream with a plain one that has the whole document, over bodies of
//! the shapes that clients send. The two agree on all of them. Where a body is cut, the reader
//! never counts more than there can be.

mod corpus;
mod plain;

use trimtab_pick::Rng;

use super::head;
use crate::facts::{Body, BodyFacts, Ending, Length};
use corpus::Sample;

const CAP_BYTES: usize = 16 * 1024;
/// Random cuts of each body.
const CUTS: usize = 12;
/// The most tokens by which unnamed media count too high: three files that turn out to be something
/// else.
const UNNAMED: u64 = 15_000;

/// Returns the facts of the first `seen` bytes, if no more may be read.
fn cut(sample: &Sample, seen: usize, length: Length) -> BodyFacts {
    let head = head(sample.path);
    let mut body = Body::new(head.route.shape);
    for piece in sample.json.as_bytes()[..seen].chunks(4_096) {
        body.feed(piece);
    }
    let ending = body.ending().unwrap_or(Ending::Cap);
    body.facts(ending, length)
}

fn whole(sample: &Sample) -> BodyFacts {
    let bytes = sample.json.len();
    cut(sample, bytes, Length::Whole(bytes as u64))
}

fn places(sample: &Sample, rng: &mut Rng) -> Vec<usize> {
    let len = sample.json.len();
    let random = (0..CUTS).map(|_| (rng.unit() * len as f64) as usize);
    [1, CAP_BYTES.min(len), len - 1]
        .into_iter()
        .chain(random)
        .collect()
}

#[test]
fn bodies_of_every_shape_size_and_order_tell_what_a_plain_reader_finds() {
    let samples = corpus::all();
    assert!(samples.len() >= 200, "{}", samples.len());
    for sample in &samples {
        let (found, plain) = (whole(sample), plain::read(sample.path, &sample.json));
        let name = &sample.name;
        assert_eq!(found.ending, Ending::Whole, "{name}");
        assert!(!found.at_least && found.rest.is_none(), "{name}");
        assert_eq!(
            found.model.as_deref(),
            plain.model.as_deref().map(str::as_bytes),
            "{name}"
        );
        assert_eq!(found.stream, plain.stream, "{name}");
        assert_eq!(found.max_output_tokens, plain.max_output_tokens, "{name}");
        assert_eq!(found.prompt_tokens, Some(plain.prompt_tokens()), "{name}");
        let history = plain.history_tokens();
        assert!(history.contains(&found.history_tokens), "{name}: {found:?}");
        assert_eq!(
            found.conversation.is_some(),
            plain.names_conversation,
            "{name}"
        );
        let marked = found.beginning.filter(|beginning| beginning.head.is_some());
        let marked = marked.map(|beginning| beginning.tokens);
        assert_eq!(marked, plain.marked_tokens(), "{name}");
    }
}

#[test]
fn no_cut_tells_more_than_there_can_be() {
    let mut rng = Rng::new(5);
    for sample in &corpus::all() {
        let all = whole(sample);
        let most = all.prompt_tokens.unwrap();
        for seen in places(sample, &mut rng) {
            let what = format!("{} cut at {seen} of {}", sample.name, sample.json.len());
            let least = cut(sample, seen, Length::AtLeast(seen as u64));
            let tokens = least.prompt_tokens.unwrap_or(0);
            assert!(
                tokens <= most + UNNAMED * u64::from(sample.names_late),
                "{what}: {tokens} of {most}"
            );
            let length = sample.json.len() as u64;
            let known = cut(sample, seen, Length::Whole(length));
            let unread = length - seen as u64;
            let tokens = known.prompt_tokens.unwrap_or(0);
            // A token id takes at least three bytes here.
            let room = most + UNNAMED * u64::from(sample.names_late) + unread.div_ceil(3);
            assert!(tokens <= room, "{what}: {tokens} of {room}");
            if let Some(rest) = least.rest {
                assert_eq!(
                    Some(rest.prompt_tokens(length)),
                    known.prompt_tokens,
                    "{what}"
                );
            }
            // Otherwise all of the prompt was seen.
            let may_be_more = known.at_least || least.rest.is_some();
            assert!(may_be_more || tokens == most, "{what}");
            assert!(least.history_tokens <= all.history_tokens, "{what}");
            assert!(least.model.is_none() || least.model == all.model, "{what}");
            assert!(
                least.stream.is_none() || least.stream == all.stream,
                "{what}"
            );
            assert!(
                least.conversation.is_none() || least.conversation == all.conversation,
                "{what}"
            );
        }
    }
}

#[test]
fn where_the_cut_is_in_text_the_count_is_that_of_the_whole() {
    let mut rng = Rng::new(6);
    let mut compared = 0;
    for sample in corpus::all().iter().filter(|sample| sample.is_text) {
        let most = whole(sample).prompt_tokens.unwrap();
        for seen in places(sample, &mut rng) {
            let facts = cut(sample, seen, Length::Whole(sample.json.len() as u64));
            if facts.at_least || facts.ending != Ending::Cap {
                continue;
            }
            let tokens = facts.prompt_tokens.unwrap();
            compared += usize::from(seen > 1_000);
            // Keys, marks and escapes of the unread part count as text.
            let unread = (sample.json.len() - seen) as u64;
            // The unread part is taken to have the same share of escapes as the read part.
            assert!(
                tokens + 1 + most / 200 >= most,
                "{}: {tokens} of {most} at {seen}",
                sample.name
            );
            assert!(
                tokens <= most + 100 + unread / 8,
                "{}: {tokens} of {most} at {seen}",
                sample.name
            );
        }
    }
    assert!(compared > 100, "{compared}");
}
