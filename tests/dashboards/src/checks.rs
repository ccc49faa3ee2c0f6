//! The checks of dashboards and rules, as plain tests that need no server.

mod expressions;
mod families;
mod links;
mod lint;
mod rule_files;
mod runbooks;
mod units;
mod written;
