//! A member of a request that is sent in another spelling than it came in.

/// A top-level member that an engine would refuse or misread as the client wrote it, and what is sent
/// instead.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RewrittenField {
    /// The key of the member.
    pub(crate) name: &'static str,
    /// The JSON that is sent; `None` where the member is left out.
    pub(crate) json: Option<String>,
    /// The sentence for the header `x-crucible-note`.
    pub(crate) note: String,
}
