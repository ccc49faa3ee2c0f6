//! Keys that know the Rust type of their values.

use std::{marker::PhantomData, ops::Deref};

use super::shape::{KeyShape, SettingKey, join};
use crate::kind::{SettingType, ValueShape};

/// The type of a key that holds tables, and not one value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SubTable;

/// A key that stands in the file at most once, such as `timeouts.idle`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixedKey<T> {
    table: &'static str,
    key: SettingKey,
    holds: PhantomData<fn() -> T>,
}

/// A key of a table that may repeat or has a free name, such as `url` of `[[engine]]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableKey<T> {
    table: &'static str,
    key: SettingKey,
    holds: PhantomData<fn() -> T>,
}

/// The dotted path of one value, with the type in which it is read.
#[derive(Clone, Debug)]
pub(crate) struct KeyPath<T> {
    path: String,
    /// The key there, whose default holds where nothing is set.
    pub(crate) key: SettingKey,
    holds: PhantomData<fn() -> T>,
}

/// A type that a key may have: that of its values, or [`SubTable`].
pub(crate) trait KeyType {
    /// The shape of the values; `None` where tables stand there.
    const VALUES: Option<ValueShape>;
}

// === impl KeyType ===

impl KeyType for SubTable {
    const VALUES: Option<ValueShape> = None;
}

impl<T: SettingType> KeyType for T {
    const VALUES: Option<ValueShape> = Some(T::SHAPE);
}

/// Returns the shape, and ends compilation where the type cannot hold what stands there.
pub(super) const fn shape_of<T: KeyType>(shape: KeyShape) -> KeyShape {
    let fits = match (T::VALUES, &shape) {
        (Some(values), KeyShape::Value(kind)) => values.fits(kind),
        (None, KeyShape::Value(_)) | (Some(_), _) => false,
        (None, _) => true,
    };
    assert!(fits, "the type of this key cannot hold its values");
    shape
}

// === impl FixedKey ===

impl<T> FixedKey<T> {
    /// Makes the key of the table with this name, which is empty for the top level.
    pub(super) const fn new(table: &'static str, key: SettingKey) -> Self {
        Self {
            table,
            key,
            holds: PhantomData,
        }
    }

    /// Returns the key without its type: name, shape, defaults and documentation.
    pub(super) const fn key(&self) -> SettingKey {
        self.key
    }

    /// The name in its table.
    pub(crate) const fn name(&self) -> &'static str {
        self.key.name
    }

    /// Its path in the file.
    pub(crate) fn path(&self) -> KeyPath<T> {
        KeyPath::new(join(self.table, self.key.name), self.key)
    }
}

// === impl TableKey ===

impl<T> TableKey<T> {
    /// Makes the key of a table that may repeat or has a free name; `table` is the name before its
    /// number.
    pub(super) const fn new(table: &'static str, key: SettingKey) -> Self {
        Self {
            table,
            key,
            holds: PhantomData,
        }
    }

    /// Returns the key without its type: name, shape, defaults and documentation.
    pub(super) const fn key(&self) -> SettingKey {
        self.key
    }

    /// The name in its table.
    pub(crate) const fn name(&self) -> &'static str {
        self.key.name
    }

    /// Its path in a table, such as `pool.gpu` or `model[0].defaults`.
    pub(crate) fn at(&self, table: &str) -> KeyPath<T> {
        KeyPath::new(join(table, self.key.name), self.key)
    }

    /// Its path in the table of this number, counted from 0.
    pub(crate) fn item(&self, number: usize) -> KeyPath<T> {
        self.at(&format!("{}[{number}]", self.table))
    }
}

// === impl KeyPath ===

impl<T> KeyPath<T> {
    fn new(path: String, key: SettingKey) -> Self {
        Self {
            path,
            key,
            holds: PhantomData,
        }
    }
}

/// As text, for messages and origins.
impl<T> Deref for KeyPath<T> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.path
    }
}

/// Makes the keys of one table: a list for those who walk over all of them, and a module with one
/// typed constant each. The module's `TABLE` is the table's name.
macro_rules! keys {
    (
        $(#[doc = $about:literal])+
        $Form:ident $module:ident at $table:literal = $LIST:ident;
        $(
            $(#[doc = $doc:literal])+
            $NAME:ident $name:literal: $Type:ty = $shape:expr
                $(, $default:literal $(, agent $agent:literal)?)?;
        )+
    ) => {
        $(#[doc = $about])+
        pub(crate) const $LIST: &[$crate::keys::shape::SettingKey] = &[$($module::$NAME.key(),)+];

        $(#[doc = $about])+
        pub(crate) mod $module {
            use super::*;

            /// The name of the table.
            pub(crate) const TABLE: &str = $table;

            $(
                $(#[doc = $doc])+
                pub(crate) const $NAME: $Form<$Type> = $Form::new(TABLE, $crate::keys::shape::SettingKey {
                    name: $name,
                    shape: $crate::keys::typed::shape_of::<$Type>($shape),
                    default: keys!(@default $($default)?),
                    agent: keys!(@agent $($($agent)?)?),
                    doc: $crate::kind::doc_line(concat!($($doc),+)),
                    tuning: None,
                });
            )+
        }
    };
    (@default) => { "" };
    (@default $default:literal) => { $default };
    (@agent) => { None };
    (@agent $agent:literal) => { Some($agent) };
}
