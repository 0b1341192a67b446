//! One request: from its headers to the end of its answer.

pub(crate) mod answer;
pub(crate) mod body_reading;
pub(crate) mod contexts;
pub(crate) mod destination_header;
pub(crate) mod passing_body;
pub(crate) mod response;
pub(crate) mod stream;
