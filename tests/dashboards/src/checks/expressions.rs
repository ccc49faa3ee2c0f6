//! PromQL, parsed: the selectors of an expression, and the family that each is about.

use crucible::metrics::{FAMILIES, Family, FamilyType};
use promql_parser::parser::{self, Expr, VectorSelector};

/// A selector with the function directly around it and the range in brackets.
#[derive(Clone, Debug)]
pub(super) struct Selected {
    pub(super) selector: VectorSelector,
    pub(super) within: String,
}

fn collect(expr: &Expr, within: &str, found: &mut Vec<Selected>) {
    match expr {
        Expr::VectorSelector(selector) => found.push(Selected {
            selector: selector.clone(),
            within: within.to_owned(),
        }),
        Expr::MatrixSelector(matrix) => found.push(Selected {
            selector: matrix.vs.clone(),
            within: within.to_owned(),
        }),
        Expr::Call(call) => {
            for arg in &call.args.args {
                collect(arg, call.func.name, found);
            }
        }
        Expr::Aggregate(aggregate) => {
            // Only functions say what a counter is used for.
            collect(&aggregate.expr, "", found);
        }
        Expr::Unary(unary) => collect(&unary.expr, "", found),
        Expr::Binary(binary) => {
            collect(&binary.lhs, "", found);
            collect(&binary.rhs, "", found);
        }
        Expr::Paren(paren) => collect(&paren.expr, within, found),
        Expr::Subquery(subquery) => collect(&subquery.expr, within, found),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

/// The selectors of an expression; it panics where that is not PromQL.
pub(super) fn selectors(expr: &str) -> Vec<Selected> {
    let tree = parser::parse(expr).unwrap_or_else(|error| panic!("{expr}: {error}"));
    let mut found = Vec::new();
    collect(&tree, "", &mut found);
    found
}

/// The family that a series belongs to.
pub(super) fn family(series: &str) -> Option<&'static Family> {
    let histogram = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|suffix| series.strip_suffix(suffix));
    FAMILIES.iter().find(|family| match family.kind {
        FamilyType::Histogram => Some(family.name) == histogram,
        FamilyType::Counter | FamilyType::Gauge => family.name == series,
    })
}

/// Names of recorded series hold colons, `up` and `ALERTS` are Prometheus' own.
pub(super) fn is_foreign(name: &str) -> bool {
    name.contains(':') || name == "up" || name == "ALERTS"
}

impl Selected {
    /// The name of the series.
    pub(super) fn name(&self) -> &str {
        self.selector
            .name
            .as_deref()
            .expect("a name before the matchers")
    }

    /// The labels of its matchers with the values, without `__name__`.
    pub(super) fn matchers(&self) -> Vec<(&str, &str)> {
        let matchers = &self.selector.matchers.matchers;
        matchers
            .iter()
            .map(|m| (m.name.as_str(), m.value.as_str()))
            .collect()
    }
}
