//! Starting real programs, for the demo and for the tests.
