//! What a decision must be, against closed forms and naive counts.

mod affinity;
mod health;
mod in_flight;
mod load;
mod pool;
mod predicted;
mod refusing;
mod table;
