//! Detection of requests that go round between Crucibles, so that they are refused at once.
//!
//! Each process has a random number of its own, which is handled as a text. It adds that number to
//! a header of every request that it sends to an engine, behind the numbers that the request came
//! with.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::OnceLock,
};

/// The header with the numbers of the Crucibles through which a request came, joined by commas.
pub const HEADER: &str = "x-crucible-hops";
/// The field of a model list by which another Crucible learns through which Crucibles each model is
/// reached.
pub const VIA: &str = "x_crucible_via";
/// The number of Crucibles in a row above which a request is taken for one that goes round.
pub const MOST: usize = 8;

/// Returns the number by which this process knows its own requests again: 16 random hexadecimal
/// digits, the same until the process ends. It is not the process id.
pub fn own_mark() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        format!("{:016x}", hasher.finish())
    })
}

/// Reads the numbers of the Crucibles in a value of [`HEADER`]. It stops after one more than
/// [`MOST`], which is enough for [`goes_round`] to be true.
pub fn marks_in(value: &str) -> impl Iterator<Item = &str> {
    let numbers = value.split(',').map(str::trim);
    numbers.filter(|number| !number.is_empty()).take(MOST + 1)
}

/// Returns the value of [`HEADER`] for a request that is sent on: the numbers that it came with,
/// and behind them that of this process.
pub fn onward(before: &[impl AsRef<str>]) -> String {
    let before = before.iter().map(AsRef::as_ref);
    before.chain([own_mark()]).collect::<Vec<_>>().join(",")
}

/// Reports whether a request that came through these Crucibles goes round: it came through this
/// process before, or through more than [`MOST`] of them.
pub fn goes_round(before: &[impl AsRef<str>]) -> bool {
    before.len() > MOST || before.iter().any(|number| number.as_ref() == own_mark())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_here_before_goes_round() {
        let strange = ["a", "b"].map(str::to_owned);
        assert!(!goes_round(&strange) && !goes_round(&[""; 0]));
        let sent = onward(&strange);
        assert_eq!(sent, format!("a,b,{}", own_mark()));
        assert!(goes_round(&marks_in(&sent).collect::<Vec<_>>()));
        assert!(!goes_round(&marks_in(" a, ,b ").collect::<Vec<_>>()));
        let long = "x,".repeat(1000);
        assert!(goes_round(&marks_in(&long).collect::<Vec<_>>()));
        assert_eq!(own_mark(), own_mark());
    }
}
