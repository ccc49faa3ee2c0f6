//! What judges a panel: bars from which on a value is bad, and words and colours in place of values.

use crate::{
    fields::{Mapping, Property, RangeWord, Step, Thresholds, ThresholdsStyle, Word},
    panel::PanelDraft,
    schema::PanelType,
};

fn word(text: Option<&str>, color: &str) -> Word {
    Word {
        text: text.map(str::to_owned),
        color: color.into(),
        index: 0,
    }
}

// === impl PanelDraft ===

impl PanelDraft {
    /// A bar: from this value on it is bad.
    pub(crate) fn bad_from(self, value: f64) -> Self {
        self.steps(&[(None, "green"), (Some(value), "red")])
    }

    /// Colours from these values on; a chart over time draws them as dashed lines.
    pub(crate) fn steps(mut self, steps: &[(Option<f64>, &str)]) -> Self {
        let steps = steps
            .iter()
            .map(|&(value, color)| Step {
                color: color.into(),
                value,
            })
            .collect();
        self.defaults().thresholds = Some(Thresholds {
            mode: "absolute".into(),
            steps,
        });
        if self.panel.r#type == PanelType::Timeseries {
            self.custom().thresholds_style = Some(ThresholdsStyle {
                mode: "dashed".into(),
            });
        }
        self
    }

    /// Words in place of values: `(value, word, colour)`.
    pub(crate) fn words(mut self, words: &[(&str, &str, &str)]) -> Self {
        let mapped = words
            .iter()
            .map(|&(value, text, color)| (value.to_owned(), word(Some(text), color)))
            .collect();
        self.defaults().mappings.push(Mapping::Value(mapped));
        self
    }

    /// The words of a mapping that is shared.
    pub(crate) fn mapped(mut self, property: Property) -> Self {
        if let Property::Mappings(mappings) = property {
            self.defaults().mappings.extend(mappings);
        }
        self
    }

    /// A colour (and a word, where there is one) from one value to another.
    pub(crate) fn span(
        mut self,
        from: f64,
        to: Option<f64>,
        text: Option<&str>,
        color: &str,
    ) -> Self {
        self.defaults().mappings.push(Mapping::Range(RangeWord {
            from: Some(from),
            to,
            result: word(text, color),
        }));
        self
    }
}
