//! Build doors.
fn main() {}
