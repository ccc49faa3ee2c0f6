//! An engine that bench can only ask: a llama.cpp server that somebody else started, or any other
//! OpenAI-compatible server. It is measured as it runs.

use crucible_config::checked::EngineKind;
use crucible_router::{engine::Tuple, transport::EngineAddress};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{
    chat::Chat,
    llamacpp,
    stats::Sample,
    subject::{Driver, Missed, Place, Plan},
    tune::Axes,
    variant::{Fixed, Setting, Variant},
};
use crate::CommandFailure;

/// An engine at its address.
pub(super) struct Running {
    chat: Chat,
    address: EngineAddress,
    model: String,
}

/// The one variant there is: as it runs, with as many requests at once as Crucible would send.
pub(super) fn plan(place: &Place) -> Plan {
    let own = place.view.holds(&place.model.id);
    let slots = own.and_then(|resident| resident.info.parallel);
    let permits = place.engine.permits.max(1);
    let setting = Setting {
        parallel: slots.map_or(permits, |slots| permits.min(slots.max(1))),
        ..Setting::of(Tuple::default())
    };
    let why = match place.engine.kind {
        EngineKind::Llamacpp => {
            "Crucible did not start this llama.cpp, so it cannot be started anew with other flags; \
             an engine with manage = \"spawn\" can"
        }
        _ => "a plain OpenAI-compatible server has no API that loads a model",
    };
    Plan {
        variants: vec![Variant {
            name: "as it runs".to_owned(),
            setting,
            against: None,
        }],
        fixed: vec![Fixed {
            setting: "all settings",
            why,
        }],
        profile: setting,
        axes: Axes {
            notes: vec![why],
            ..Axes::default()
        },
    }
}

// === impl Running ===

impl Running {
    pub(super) fn new(place: &Place) -> Result<Self, CommandFailure> {
        let extra = match place.engine.kind {
            EngineKind::Llamacpp => llamacpp::extra(),
            _ => Value::Null,
        };
        Ok(Self {
            chat: Chat::new(place.token(), extra),
            address: place.address()?,
            model: place.model.id.to_string(),
        })
    }
}

impl Driver for Running {
    fn measure<'a>(
        &'a self,
        setting: &'a Setting,
        run: usize,
    ) -> BoxFuture<'a, Result<Sample, Missed>> {
        let asked = self
            .chat
            .measure(&self.address, &self.model, setting.parallel, run);
        Box::pin(async move { asked.await.map_err(Missed::Over) })
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn options(&self, setting: &Setting) -> Value {
        json!({"parallel": setting.parallel})
    }
}
