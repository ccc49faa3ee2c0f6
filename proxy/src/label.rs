//! Closed sets of words: enums whose variants are what a metric label, a log field or the state may
//! say.
//!
//! Prometheus keeps one time series per label value for as long as the process runs, so a label may
//! only take values that are known at compile time (or are bounded otherwise, as names of models
//! are). An enum of this module carries its words once, and every place that says one takes it from
//! here:
//!
//! ```ignore
//! labels! {
//!     /// The outcome of an attempt.
//!     Outcome { Ok = "ok", Error = "error", }
//! }
//! assert_eq!(Outcome::Ok.as_str(), "ok");
//! assert_eq!(Outcome::ALL.len(), 2);
//! ```

/// Defines an enum whose variants each stand for one word, with `ALL` and `as_str`.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each name is its label value")]
        pub enum $name { $($variant,)* }

        impl $name {
            /// Every value, in the order of declaration, so that series can exist before the first
            /// event.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word that labels, log lines and the state use for this value.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $value,)* }
            }
        }
    };
}

pub(crate) use labels;
