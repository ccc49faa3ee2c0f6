//! The numbers that a kind of engine takes, as data.

/// The rules by which a kind of engine reads the numbers of a request.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any combination is possible"
)]
pub(crate) struct NumberRules {
    /// Keys of whole numbers for which the engine itself cuts fractions and takes numbers beyond 64
    /// bits, so that they pass as they are. Limits of the answer and `n` never pass beyond 64 bits.
    pub(crate) lenient: &'static [&'static str],
    /// The spelling of a limit that means no limit.
    pub(crate) no_limit: NoLimit,
    /// Whether a limit of 0 tokens has to be refused because the engine misreads it.
    pub(crate) refuses_zero_limit: bool,
    /// The largest limit that the engine does not wrap around.
    pub(crate) largest_limit: Option<i128>,
    /// Whether one request may ask for several choices (`n` above 1).
    pub(crate) several_choices: bool,
    /// Whether the engine reads a number beyond 32-bit floats as endless instead of failing.
    pub(crate) beyond_f32: bool,
    /// Whether `logprobs` may be a count, as in OpenAI's older completions.
    pub(crate) logprobs_count: bool,
}

/// The spellings of a negative limit of the answer, which means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoLimit {
    /// The limit is written as `-1`.
    MinusOne,
    /// The limit is left out.
    LeftOut,
    /// The limit is written in another format, in which 0 means no limit too, and stays as it is here.
    OtherFormat,
}
