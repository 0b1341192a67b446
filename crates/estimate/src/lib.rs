//! Samples of endpoints over time and proxies' reports become the load table.
