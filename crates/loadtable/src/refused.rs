//! One test per kind of input that is refused. Each is a small change to a message that is
//! accepted.

mod envelope;
mod limited;
mod text;
mod values;

use prost::Message as _;

use crate::golden::{report, table};
use crate::{DecodeError, Report, Table, wire};

/// Returns the error of the golden table after `change` to its message.
#[track_caller]
fn refused(change: impl FnOnce(&mut wire::Table)) -> DecodeError {
    let mut message = wire::Table::decode(table().encode().as_slice()).expect("the golden table");
    change(&mut message);
    Table::decode(&message.encode_to_vec()).expect_err("must be refused")
}

/// Returns the error of the golden report after `change` to its message.
#[track_caller]
fn refused_report(change: impl FnOnce(&mut wire::Report)) -> DecodeError {
    let mut message =
        wire::Report::decode(report().encode().as_slice()).expect("the golden report");
    change(&mut message);
    Report::decode(&message.encode_to_vec()).expect_err("must be refused")
}

fn fleet(message: &mut wire::Table) -> &mut wire::Fleet {
    message.fleet.as_mut().expect("fleet")
}

fn load(message: &mut wire::Table) -> &mut wire::Load {
    message.load.as_mut().expect("load")
}

fn probes(message: &mut wire::Table) -> &mut wire::Probes {
    load(message).probes.as_mut().expect("probes")
}

/// Returns the field that an error names.
fn field(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::Column { field, .. }
        | DecodeError::TooMany { field, .. }
        | DecodeError::Range { field, .. }
        | DecodeError::Text { field, .. }
        | DecodeError::Order { field, .. } => field,
        DecodeError::TooLarge { .. } | DecodeError::Format { .. } | DecodeError::Malformed(_) => "",
    }
}
