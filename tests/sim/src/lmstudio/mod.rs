//! LM Studio 0.4.25, from the vendor's documentation, recorded answers and issue reports (bt#N:
//! its bug tracker). What no source tells is marked `[?]`.

mod chat;
mod embed;
mod listing;
pub(crate) mod load;
mod overflow;
pub(crate) mod residents;
pub(crate) mod routes;
pub(crate) mod socket;
mod strict;
