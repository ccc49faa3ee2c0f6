//! Expressions over the families of the metric table, with the variables of the dashboards as matchers and
//! with the unit that follows from the family and from what is done to it.
//!
//! ```text
//! of("crucible_model_evictions_total").only(r#"reason="limit""#).per_minute(&["engine"])
//! ```
//!
//! is `60 * sum by (engine) (rate(crucible_model_evictions_total{job=~"$job", ...}[$__rate_interval]))` in
//! events per minute. A family that is not in the table, or an operation that its type does not allow, ends
//! the generation with a panic, so that no dashboard can name a metric that does not exist.

use crucible::metrics::{FAMILIES, Family, FamilyType};

/// The range of a rate: at least four scrapes, as Grafana works it out.
const RATE: &str = "$__rate_interval";
/// The time that the dashboard shows.
const SHOWN: &str = "$__range";
/// The label values of series that belong to no engine, beside those that the variable chose.
const NO_ENGINE: &str = "|none";

/// A unit of Grafana's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PanelUnit {
    /// A state, or a number that is only counted with.
    Number,
    /// Requests of clients.
    Requests,
    /// Models of engines.
    Models,
    /// Tasks of the runtime.
    Tasks,
    /// Seconds, shown as milliseconds, minutes or hours where they read better.
    Seconds,
    /// A share, 0 to 1, shown in percent.
    Share,
    /// A quotient of two values of one kind; 1 is equality.
    Ratio,
    /// Bytes with binary prefixes.
    Bytes,
    /// Bytes per second.
    ByteRate,
    /// Tokens of a model.
    Tokens,
    /// Tokens per second.
    TokenRate,
    /// Events per minute: what happens to a local model is too rare for events per second.
    PerMinute,
    /// Watts.
    Watts,
    /// Degrees Celsius.
    Celsius,
    /// Milliseconds since 1970, shown as a date.
    Moment,
}

/// Some series of one family.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    family: &'static Family,
    matchers: Vec<String>,
    engines: &'static str,
}

/// An expression that can be charted.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    pub(crate) text: String,
    pub(crate) unit: PanelUnit,
    /// The families that it reads, in order of appearance.
    pub(crate) families: Vec<&'static Family>,
}

/// The series of a family that the variables of the dashboard choose.
pub(crate) fn of(name: &str) -> Selection {
    Selection {
        family: family(name).unwrap_or_else(|| panic!("{name} is not in the table of metrics")),
        matchers: Vec::new(),
        engines: "",
    }
}

/// The family of that name.
pub(crate) fn family(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.name == name)
}

fn grouped(function: &str, by: &[&str]) -> String {
    if by.is_empty() {
        function.to_owned()
    } else {
        format!("{function} by ({})", by.join(", "))
    }
}

// === impl PanelUnit ===

impl PanelUnit {
    /// Grafana's word for it.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Number | Self::Requests | Self::Models | Self::Tasks | Self::Tokens => "short",
            Self::Seconds => "s",
            Self::Share => "percentunit",
            Self::Ratio => "suffix: ×",
            Self::Bytes => "bytes",
            Self::ByteRate => "binBps",
            Self::TokenRate => "suffix: tok/s",
            Self::PerMinute => "suffix: /min",
            Self::Watts => "watt",
            Self::Celsius => "celsius",
            Self::Moment => "dateTimeFromNow",
        }
    }

    /// The things that are counted, for the axis of a chart whose numbers have no unit.
    pub(crate) fn counted(self) -> Option<&'static str> {
        match self {
            Self::Requests => Some("requests"),
            Self::Models => Some("models"),
            Self::Tasks => Some("tasks"),
            Self::Tokens => Some("tokens"),
            _ => None,
        }
    }

    /// The unit of a family's values as they are.
    fn of(family: &Family) -> Self {
        match family.name {
            "crucible_requests_in_flight"
            | "crucible_in_flight_limit"
            | "crucible_queue_depth"
            | "crucible_queue_limit"
            | "crucible_queue_waiting"
            | "crucible_prefill_requests"
            | "crucible_retry_budget_remaining" => return Self::Requests,
            "crucible_models_loaded" | "crucible_models_loaded_limit" => return Self::Models,
            "crucible_runtime_alive_tasks" => return Self::Tasks,
            _ => {}
        }
        match family.unit.as_str() {
            "s" => Self::Seconds,
            "s since 1970" => Self::Moment,
            "bytes" => Self::Bytes,
            "tokens" => Self::Tokens,
            "tokens/s" => Self::TokenRate,
            "ratio" if family.kind == FamilyType::Histogram => Self::Ratio,
            "ratio" => Self::Share,
            "W" => Self::Watts,
            "°C" => Self::Celsius,
            _ => Self::Number,
        }
    }

    /// The unit of the growth of a counter per second.
    fn rate(family: &Family) -> Self {
        match family.unit.as_str() {
            "s" => Self::Number,
            "bytes" => Self::ByteRate,
            "tokens" => Self::TokenRate,
            "J" => Self::Watts,
            _ => panic!("{} counts events: chart them per minute", family.name),
        }
    }
}

// === impl Selection ===

impl Selection {
    /// Only those that this matcher of PromQL allows.
    pub(crate) fn only(mut self, matcher: &str) -> Self {
        self.matchers.push(matcher.to_owned());
        self
    }

    /// Those of requests that reached no engine too, whatever engines are chosen.
    pub(crate) fn with_no_engine(mut self) -> Self {
        self.engines = NO_ENGINE;
        self
    }

    fn series(&self, suffix: &str) -> String {
        let mut matchers = vec![
            r#"job=~"$job""#.to_owned(),
            r#"instance=~"$instance""#.into(),
        ];
        for label in self.family.label_names() {
            match label {
                "engine" | "from_engine" => {
                    matchers.push(format!(r#"{label}=~"$engine{}""#, self.engines));
                }
                "model" => matchers.push(r#"model=~"$model""#.into()),
                _ => {}
            }
        }
        matchers.extend(self.matchers.iter().cloned());
        format!("{}{suffix}{{{}}}", self.family.name, matchers.join(","))
    }

    fn expression(&self, text: String, unit: PanelUnit) -> Expression {
        Expression {
            text,
            unit,
            families: vec![self.family],
        }
    }

    fn must_be(&self, kind: FamilyType) {
        let name = self.family.name;
        assert_eq!(self.family.kind, kind, "{name} is of another type");
    }

    fn growth(&self, function: &str, range: &str, by: &[&str]) -> String {
        self.must_be(FamilyType::Counter);
        let (sum, series) = (grouped("sum", by), self.series(""));
        format!("{sum} ({function}({series}[{range}]))")
    }

    /// The growth of a counter per second.
    pub(crate) fn rate(&self, by: &[&str]) -> Expression {
        self.expression(self.growth("rate", RATE, by), PanelUnit::rate(self.family))
    }

    /// The growth of a counter of events per minute.
    pub(crate) fn per_minute(&self, by: &[&str]) -> Expression {
        let text = format!("60 * {}", self.growth("rate", RATE, by));
        self.expression(text, PanelUnit::PerMinute)
    }

    /// The growth of a counter over the time that is shown.
    pub(crate) fn shown(&self, by: &[&str]) -> Expression {
        let text = self.growth("increase", SHOWN, by);
        self.expression(text, PanelUnit::of(self.family))
    }

    /// The growth of a counter over the window of an alert, such as `10m`.
    pub(crate) fn within(&self, window: &str, by: &[&str]) -> Expression {
        let text = self.growth("increase", window, by);
        self.expression(text, PanelUnit::of(self.family))
    }

    /// A quantile of a histogram.
    pub(crate) fn quantile(&self, q: f64, by: &[&str]) -> Expression {
        let buckets = self.buckets(by).text;
        self.expression(
            format!("histogram_quantile({q}, {buckets})"),
            PanelUnit::of(self.family),
        )
    }

    /// The buckets of a histogram per second, for a heatmap.
    pub(crate) fn buckets(&self, by: &[&str]) -> Expression {
        self.must_be(FamilyType::Histogram);
        let by: Vec<_> = by.iter().copied().chain(["le"]).collect();
        let (sum, series) = (grouped("sum", &by), self.series("_bucket"));
        let text = format!("{sum} (rate({series}[{RATE}]))");
        self.expression(text, PanelUnit::of(self.family))
    }

    /// The sum of a gauge.
    pub(crate) fn sum(&self, by: &[&str]) -> Expression {
        self.gauge("sum", by)
    }

    /// The greatest value of a gauge.
    pub(crate) fn max(&self, by: &[&str]) -> Expression {
        self.gauge("max", by)
    }

    /// The least value of a gauge.
    pub(crate) fn min(&self, by: &[&str]) -> Expression {
        self.gauge("min", by)
    }

    fn gauge(&self, function: &str, by: &[&str]) -> Expression {
        self.must_be(FamilyType::Gauge);
        let text = format!("{} ({})", grouped(function, by), self.series(""));
        self.expression(text, PanelUnit::of(self.family))
    }
}

// === impl Expression ===

impl Expression {
    fn joined(mut self, other: &Self, text: String, unit: PanelUnit) -> Self {
        for family in &other.families {
            if !self.families.iter().any(|known| known.name == family.name) {
                self.families.push(family);
            }
        }
        Self { text, unit, ..self }
    }

    /// Its values by those of another one, where that is more than 0.
    pub(crate) fn per(self, other: &Self, unit: PanelUnit) -> Self {
        let text = format!("{} / ({} > 0)", self.wrapped(), other.text);
        self.joined(other, text, unit)
    }

    /// Its values without those of another one, where that has some.
    pub(crate) fn minus(self, other: &Self) -> Self {
        let (text, unit) = (
            format!("{} - {}", self.wrapped(), other.wrapped()),
            self.unit,
        );
        self.joined(other, text, unit)
    }

    /// Only values above 0: for lists of what is there now, in which a line of zeros says nothing.
    pub(crate) fn positive(mut self) -> Self {
        self.text = format!("{} > 0", self.wrapped());
        self
    }

    /// The series with the greatest value.
    pub(crate) fn greatest(mut self) -> Self {
        self.text = format!("topk(1, {})", self.text);
        self
    }

    /// 0 in place of no series at all.
    pub(crate) fn or_zero(mut self) -> Self {
        self.text = format!("{} or vector(0)", self.text);
        self
    }

    /// Its values by a fixed number.
    pub(crate) fn times(mut self, factor: u32) -> Self {
        self.text = format!("{factor} * {}", self.wrapped());
        self
    }

    /// The share of each series in the sum of all.
    pub(crate) fn share_of(self, whole: &Self) -> Self {
        let text = format!("{} / scalar({} > 0)", self.wrapped(), whole.text);
        self.joined(whole, text, PanelUnit::Share)
    }

    /// The seconds since a moment.
    pub(crate) fn age(mut self) -> Self {
        self.text = format!("time() - {}", self.wrapped());
        self.unit = PanelUnit::Seconds;
        self
    }

    /// The seconds until a moment.
    pub(crate) fn remaining(mut self) -> Self {
        self.text = format!("{} - time()", self.wrapped());
        self.unit = PanelUnit::Seconds;
        self
    }

    /// A label with a fixed value, so that its rows join those of another query of a table.
    pub(crate) fn labelled(mut self, label: &str, value: &str) -> Self {
        self.text = format!(
            r#"label_replace({}, "{label}", "{value}", "", "")"#,
            self.text
        );
        self
    }

    /// The same values in another unit, where the quotient of the table's units is not what is meant.
    pub(crate) fn unit(mut self, unit: PanelUnit) -> Self {
        self.unit = unit;
        self
    }

    /// In parentheses where an operator stands in it.
    fn wrapped(&self) -> String {
        if [" / ", " - ", " > ", " or ", " * "]
            .iter()
            .any(|sign| self.text.contains(sign))
        {
            format!("({})", self.text)
        } else {
            self.text.clone()
        }
    }
}
