//! Rules that others use, for comparison: in simulation, and beside the real one in production.
