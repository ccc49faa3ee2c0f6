//! The macro that makes identifiers, fields, readers and rows of the table.

/// Makes everything that is derived from the entries of [`table`](super::table).
///
/// It writes [`TuningId`](super::TuningId) with one variant for each entry, the static array
/// [`TUNINGS`](super::TUNINGS), and for each group a structure with one typed field for each entry,
/// a reader of it and the value that reports show.
macro_rules! tunings {
    ($(
        group $Group:ident, $group:ident: $Struct:ident = $about:literal $(, $(#[$attribute:meta])+)?;
        $(
            #[doc = $short:literal]
            [$number:literal] $Id:ident => $key:ident: $Type:ty {
                takes: $kind:expr,
                hybrid: $hybrid:literal, $(agent: $agent:expr,)? mechanism: $mechanism:ident,
                meaning: $meaning:expr,
                verified: $verified:literal,
                engines: $engines:expr,
                $(superseded_by: $knob:literal,)?
            }
        )+
    )+) => {
        /// The identifier of one of the 39 settings.
        ///
        /// A `match` over it names every setting, so that a new one cannot be forgotten. In JSON and
        /// in labels it is the text of [`TuningId::as_str`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum TuningId {
            $($(
                #[doc = $short]
                $Id = $number,
            )+)+
        }

        impl TuningId {
            /// Every identifier, in the order of the table.
            pub const ALL: [Self; 39] = [$($(Self::$Id,)+)+];

            /// The group and the key: `lmstudio.gpu_memory_fraction`, `environment.OLLAMA_NUM_GPU`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($(Self::$Id => concat!(stringify!($group), ".", stringify!($key)),)+)+
                }
            }

            /// The key below the group's table, which is the variable's name in `environment`.
            pub const fn key(self) -> &'static str {
                match self {
                    $($(Self::$Id => stringify!($key),)+)+
                }
            }

            /// The dotted path in `crucible.toml`: `tuning.lmstudio.gpu_memory_fraction`.
            pub const fn path(self) -> &'static str {
                match self {
                    $($(
                        Self::$Id => concat!("tuning.", stringify!($group), ".", stringify!($key)),
                    )+)+
                }
            }
        }

        $(
            #[doc = $about]
            $($(#[$attribute])+)?
            #[derive(Clone, Debug, PartialEq)]
            pub struct $Struct {
                $(
                    #[doc = $short]
                    pub $key: $Type,
                )+
            }
        )+

        /// The values of all 39 settings after all layers, each in the type that its row names.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Tuning {
            $(
                #[doc = $about]
                pub $group: $Struct,
            )+
        }

        impl Tuning {
            /// Takes every value in the type of its field.
            pub(crate) fn read(source: &mut impl $crate::tuning::row::TuningSource) -> Self {
                Self {
                    $($group: $Struct {
                        $($key: source.value(TuningId::$Id),)+
                    },)+
                }
            }

            /// The value of one setting as reports show it: durations in seconds, sizes in bytes,
            /// null where the profile sets nothing.
            pub fn value(&self, id: TuningId) -> serde_json::Value {
                match id {
                    $($(TuningId::$Id => self.$group.$key.to_json(),)+)+
                }
            }
        }

        /// All 39 settings in the order of their numbers.
        pub static TUNINGS: [$crate::tuning::row::TuningRow; 39] = [$($(
            $crate::tuning::row::TuningRow {
                id: TuningId::$Id,
                group: $crate::tuning::row::TuningGroup::$Group,
                kind: $crate::kind::of_type::<$Type>($kind),
                hybrid: $hybrid,
                agent: tunings!(@agent $hybrid $(, $agent)?),
                mechanism: $crate::tuning::row::TuningMechanism::$mechanism,
                short: $crate::kind::doc_line($short),
                meaning: $meaning,
                verified: $verified,
                engines: $engines,
                superseded_by: tunings!(@optional $($knob)?),
            },
        )+)+];
    };
    (@agent $hybrid:literal) => { Some($hybrid) };
    (@agent $hybrid:literal, $agent:expr) => { $agent };
    (@optional) => { None };
    (@optional $value:literal) => { Some($value) };
}
