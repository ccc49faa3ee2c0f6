//! The search for the `[[rule]]` that decides a virtual model: the first one whose conditions all
//! hold.
//!
//! Words and phrases match whole words in any letter case; a blank in a phrase matches any white
//! space.

use crucible_config::{Config, checked::RoutingRule};

use crate::demand::Demand;

/// Returns the first rule whose conditions all hold for a request that asks for the virtual model
/// `name`; `None` where there is none.
pub(super) fn first_match<'a>(
    name: &str,
    demand: &Demand,
    config: &'a Config,
) -> Option<&'a RoutingRule> {
    config.rules.iter().find(|rule| holds(rule, name, demand))
}

/// Whether all conditions that the rule states hold; of its `words`, one is enough.
fn holds(rule: &RoutingRule, name: &str, demand: &Demand) -> bool {
    let has_header = |key: &str, value: &str| {
        demand
            .headers
            .iter()
            .any(|(k, v)| k.eq_ignore_ascii_case(key) && v == value)
    };
    let has_word = |word: &String| contains_words(&demand.last_user, &word.to_lowercase());
    rule.model
        .as_deref()
        .is_none_or(|model| model.eq_ignore_ascii_case(name))
        && rule.tokens_over.is_none_or(|n| demand.prompt_tokens > n)
        && rule.tokens_under.is_none_or(|n| demand.prompt_tokens < n)
        && rule.tools.is_none_or(|tools| tools == demand.tools)
        && rule.images.is_none_or(|images| images == demand.images)
        && rule.header.iter().all(|(k, v)| has_header(k, v))
        && (rule.words.is_empty() || rule.words.iter().any(has_word))
}

/// Whether `text` contains the words of `phrase` one after the other, each as a whole word. Both
/// are in lower case; an empty phrase is never contained.
pub(super) fn contains_words(text: &str, phrase: &str) -> bool {
    let mut words = phrase.split_whitespace();
    let Some(first) = words.next() else {
        return false;
    };
    let joins = |left: Option<char>, right: Option<char>| {
        left.is_some_and(is_word) && right.is_some_and(is_word)
    };
    text.match_indices(first).any(|(at, _)| {
        if joins(text[..at].chars().next_back(), first.chars().next()) {
            return false;
        }
        let mut rest = &text[at + first.len()..];
        let mut last = first;
        for word in words.clone() {
            let trimmed = rest.trim_start();
            match trimmed.strip_prefix(word) {
                Some(after) if trimmed.len() < rest.len() => rest = after,
                _ => return false,
            }
            last = word;
        }
        !joins(last.chars().next_back(), rest.chars().next())
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole_words() {
        for (text, words, expected) in [
            ("make a plan", "plan", true),
            ("plan.", "plan", true),
            ("(plan)", "plan", true),
            ("an explanation", "plan", false),
            ("plans", "plan", false),
            ("plan_b", "plan", false),
            ("plans and a plan", "plan", true),
            ("do a security\n  review now", "security review", true),
            ("security reviews", "security review", false),
            ("securityreview", "security review", false),
            ("the übergabe", "über", false),
            ("geh über die brücke", "über", true),
            ("réécrire ça", "ça", true),
            ("use c++ here", "c++", true),
            ("", "plan", false),
            ("plan", " ", false),
        ] {
            assert_eq!(
                contains_words(text, words),
                expected,
                "{words:?} in {text:?}"
            );
        }
    }

    #[test]
    fn every_condition_is_needed() {
        let demand = Demand {
            prompt_tokens: 100,
            tools: true,
            last_user: "bitte über alles".into(),
            headers: vec![("x-team".into(), "a".into())],
            ..Demand::default()
        };
        let rule = RoutingRule {
            model: Some("AUTO".into()),
            tokens_over: Some(99),
            tokens_under: Some(101),
            tools: Some(true),
            images: Some(false),
            words: vec!["nichts".into(), "ÜBER".into()],
            header: [("X-Team".to_owned(), "a".to_owned())].into(),
            target: "fast".into(),
        };
        assert!(holds(&rule, "auto", &demand));
        assert!(!holds(&rule, "fast", &demand));
        let broken: [fn(&mut RoutingRule); 6] = [
            |r| r.tokens_over = Some(100),
            |r| r.tokens_under = Some(100),
            |r| r.tools = Some(false),
            |r| r.images = Some(true),
            |r| r.words = vec!["all".into()],
            |r| drop(r.header.insert("x-team".into(), "b".into())),
        ];
        for (i, change) in broken.into_iter().enumerate() {
            let mut other = rule.clone();
            other.header.clear();
            change(&mut other);
            assert!(!holds(&other, "auto", &demand), "condition {i}");
        }
        assert!(holds(
            &RoutingRule::default(),
            "anything",
            &Demand::default()
        ));
    }
}
