//! Typed settings out of a JSON value, with every problem reported at once.
