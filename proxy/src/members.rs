//! Objects of JSON that are read member by member, as engines write them.
//!
//! A reader that is derived by serde refuses an object in which a member stands twice. JSON does not
//! forbid it, and every reader that keeps a table takes the last one; so does the client behind Crucible.
//! The objects of [`json_objects`] do the same.

/// Declares structs that are read from JSON objects. A member that is absent has its default, one that
/// is not named is skipped, and of two with one name the last one counts. `= "other"` behind a member's
/// type names another spelling of it.
macro_rules! json_objects {
    ($($(#[$doc:meta])* $visible:vis struct $name:ident $(<$life:lifetime>)? {
        $($(#[$member_doc:meta])* $member_visible:vis $member:ident: $type:ty $(= $alias:literal)?,)+
    })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Default)]
        $visible struct $name $(<$life>)? {
            $($(#[$member_doc])* $member_visible $member: $type,)+
        }

        $crate::members::json_objects!(@read $name [$($life)?] [$($life)? 'de] {
            $($member: $type $(= $alias)?,)+
        });
    )+};
    (@read $name:ident [] ['de] { $($body:tt)+ }) => {
        $crate::members::json_objects!(@impl ['de] $name { $($body)+ });
    };
    (@read $name:ident [$life:lifetime] [$again:lifetime 'de] { $($body:tt)+ }) => {
        $crate::members::json_objects!(@impl [$life] $name<$life> { $($body)+ });
    };
    (@impl [$de:lifetime] $name:ty {
        $($member:ident: $type:ty $(= $alias:literal)?,)+
    }) => {
        impl<$de> serde::Deserialize<$de> for $name {
            fn deserialize<D: serde::Deserializer<$de>>(from: D) -> Result<Self, D::Error> {
                #[expect(non_camel_case_types, reason = "they are the names of the members")]
                enum JsonMemberName {
                    $($member,)+
                    _other,
                }

                struct JsonNameVisitor;

                impl serde::de::Visitor<'_> for JsonNameVisitor {
                    type Value = JsonMemberName;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("the name of a member")
                    }

                    fn visit_str<E>(self, name: &str) -> Result<JsonMemberName, E> {
                        Ok(match name {
                            $(stringify!($member) $(| $alias)? => JsonMemberName::$member,)+
                            _ => JsonMemberName::_other,
                        })
                    }
                }

                impl<'name> serde::Deserialize<'name> for JsonMemberName {
                    fn deserialize<N: serde::Deserializer<'name>>(name: N) -> Result<Self, N::Error> {
                        name.deserialize_identifier(JsonNameVisitor)
                    }
                }

                struct JsonMembersVisitor;

                impl<$de> serde::de::Visitor<$de> for JsonMembersVisitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<$de>>(
                        self,
                        mut map: A,
                    ) -> Result<Self::Value, A::Error> {
                        let mut object = <$name>::default();
                        while let Some(json_member) = map.next_key()? {
                            match json_member {
                                $(JsonMemberName::$member => object.$member = map.next_value()?,)+
                                JsonMemberName::_other => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(object)
                    }
                }

                from.deserialize_map(JsonMembersVisitor)
            }
        }
    };
}

pub(crate) use json_objects;

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    json_objects! {
        /// An object.
        struct Sample<'a> {
            one: Option<u64> = "eins",
            raw: Option<&'a RawValue>,
        }
    }

    #[test]
    fn of_two_members_the_last_one_counts() {
        let text = r#"{"one":1,"raw":"\ud83d","x":{"one":7},"\u006fne":2,"raw":[1]}"#;
        let sample: Sample<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(
            (sample.one, sample.raw.map(RawValue::get)),
            (Some(2), Some("[1]"))
        );
        let sample: Sample<'_> = serde_json::from_str(r#"{"one":1,"eins":3}"#).unwrap();
        assert_eq!((sample.one, sample.raw.is_none()), (Some(3), true));
        for none in ["[]", "1", "\"x\"", "null", r#"{"one":"x"}"#] {
            assert!(serde_json::from_str::<Sample<'_>>(none).is_err(), "{none}");
        }
    }
}
