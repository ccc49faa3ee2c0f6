use std::time::Duration;

use proptest::{prelude::*, sample::Index};

use toml::de::DeValue;

use super::*;
use crate::{checked::Rate, keys};

const SIZE: SettingKind = SettingKind::Size {
    min: 0,
    max: u64::MAX,
};
const DURATION: SettingKind = SettingKind::Duration { min_ms: 1 };

#[test]
fn sizes_are_powers_of_ten_unless_they_say_otherwise() {
    assert_eq!(SIZE.read_text("16GB"), Ok(Value::Size(16_000_000_000)));
    assert_eq!(SIZE.read_text("1GiB"), Ok(Value::Size(1 << 30)));
    assert_eq!(SIZE.read_text("512"), Ok(Value::Size(512)));
    assert!(SIZE.read_text("16XB").is_err());
}

#[test]
fn plain_integers_are_seconds() {
    assert_eq!(
        DURATION.read_text("45"),
        Ok(Value::Duration(Duration::from_secs(45)))
    );
    assert_eq!(
        DURATION.read_text("5m"),
        Ok(Value::Duration(Duration::from_mins(5)))
    );
    assert!(DURATION.read_text("0").is_err());
    assert!(DURATION.read_text("-3").is_err());
    assert!(DURATION.read_text("soon").is_err());
}

#[test]
fn rates_need_a_count_and_a_known_period() {
    let minute = Rate {
        count: 60,
        per: Duration::from_mins(1),
    };
    assert_eq!(
        SettingKind::Rate.read_text("60/min"),
        Ok(Value::Rate(minute))
    );
    assert!(SettingKind::Rate.read_text("0/min").is_err());
    assert!(SettingKind::Rate.read_text("60/fortnight").is_err());
}

#[test]
fn a_wrong_secret_is_not_shown() {
    let error = SettingKind::Secret
        .read_toml(&DeValue::Boolean(true))
        .unwrap_err();
    assert_eq!(error.found, "something that is not a hash");
}

#[test]
fn what_is_shown_can_be_read_again() {
    for (kind, text) in [
        (SIZE, "16GB"),
        (SIZE, "1025"),
        (DURATION, "90s"),
        (DURATION, "250ms"),
    ] {
        let value = kind.read_text(text).unwrap();
        assert_eq!(
            kind.read_text(value.to_text().trim_matches('"')).unwrap(),
            value
        );
    }
}

proptest! {
    /// What a key takes as text is what it shows, and that is taken again.
    #[test]
    fn what_is_shown_is_read_again(
        at in any::<Index>(),
        text in "\\PC{0,12}|-?[0-9]{1,18}(us|ms|s|m|h|B|KB|GB|GiB)?|[0-9]{1,4}/(s|min|h|day)",
    ) {
        let all = keys::fixed();
        let (path, key) = &all[at.index(all.len())];
        let keys::KeyShape::Value(kind) = key.shape else { unreachable!() };
        if let Ok(value) = kind.read_text(&text) {
            let shown = value.to_text();
            let plain = serde_json::from_str(&shown).unwrap_or_else(|_| shown.clone());
            let text_or_list = matches!(
                kind,
                SettingKind::Text | SettingKind::Secret | SettingKind::Texts | SettingKind::Addresses
            );
            let again = kind.read_text(&plain);
            prop_assert!(text_or_list || again.is_ok_and(|a| a == value), "{path}: {text:?}: {shown}");
        }
    }
}
