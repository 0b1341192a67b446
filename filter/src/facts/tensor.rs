//! One tensor of a KServe v2 request while it is read.
//!
//! Strings of its `data` are prompt text. Several whole numbers are token ids. A single value is a
//! parameter, by the tensor's name. The name may stand before or after the data. Many numbers of a
//! type that token ids do not have (fractions, bytes) are one medium; `datatype` has to stand
//! before the data.

use super::keys;

/// The fewest numbers of a medium. Fewer are settings, one for each prompt.
const MEDIUM_NUMBERS: u64 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Member {
    Name,
    Type,
    Data,
    #[default]
    Other,
}

/// What a tensor with a single value says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    Stream(bool),
    MaxOutput(u32),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Tensor {
    member: Member,
    is_stream: bool,
    is_max_output: bool,
    flag: Option<bool>,
    numbers: u64,
    first: u32,
    /// The tensor's numbers are not token ids.
    is_raw: bool,
}

impl Tensor {
    /// Handles a key of the tensor itself.
    pub(super) fn on_key(&mut self, key: &[u8]) {
        self.member = match key {
            b"name" => Member::Name,
            b"datatype" => Member::Type,
            b"data" => Member::Data,
            _ => Member::Other,
        };
    }

    pub(super) fn wants_word(&self) -> bool {
        matches!(self.member, Member::Name | Member::Type)
    }

    pub(super) fn in_data(&self) -> bool {
        self.member == Member::Data
    }

    /// Whether the data being read are those of a medium.
    pub(super) fn is_media(&self) -> bool {
        self.in_data() && self.is_raw
    }

    /// Whether the tensor's data were a medium.
    pub(super) fn had_media(&self) -> bool {
        self.is_raw && self.numbers >= MEDIUM_NUMBERS
    }

    /// Counts a number of a medium.
    pub(super) fn on_raw(&mut self) {
        self.numbers = self.numbers.saturating_add(1);
    }

    /// Handles the string that [`Self::wants_word`], once it is complete.
    pub(super) fn on_word(&mut self, word: &[u8]) {
        match std::mem::take(&mut self.member) {
            Member::Name => {
                self.is_stream = word == b"stream";
                self.is_max_output = keys::is_max_output(word);
            }
            Member::Type => {
                let is_whole = word.starts_with(b"INT") || word.starts_with(b"UINT");
                self.is_raw = word.starts_with(b"FP")
                    || word.starts_with(b"BF")
                    || is_whole && word.ends_with(b"T8");
            }
            Member::Data | Member::Other => {}
        }
    }

    pub(super) fn on_flag(&mut self, flag: bool) {
        self.flag = Some(flag);
    }

    /// Returns the token ids that are certain with this number: none with the first number, two
    /// with the second, then one each.
    pub(super) fn on_number(&mut self, number: u32) -> impl Iterator<Item = u32> + use<> {
        self.numbers = self.numbers.saturating_add(1);
        let (first, certain) = match self.numbers {
            1 => {
                self.first = number;
                (None, None)
            }
            2 => (Some(self.first), Some(number)),
            _ => (None, Some(number)),
        };
        first.into_iter().chain(certain)
    }

    /// Returns the parameter that a complete tensor holds. `None`: it holds none.
    pub(super) fn parameter(&self) -> Option<Parameter> {
        if self.is_stream {
            self.flag.map(Parameter::Stream)
        } else if self.is_max_output && self.numbers == 1 {
            Some(Parameter::MaxOutput(self.first))
        } else {
            None
        }
    }
}
