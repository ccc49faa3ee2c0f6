//! The task that sends batches of spans to the collector.

use std::time::Duration;

use crucible_router::transport::EngineAddress;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    client::CollectorClient,
    queue::{SpanQueue, WAITING},
};
use crate::metrics::Metrics;

/// The requests whose spans go out together at most.
const BATCH: usize = 256;

/// The time for which spans are gathered.
const GATHER: Duration = Duration::from_secs(1);

/// The time that a collector has for a batch.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time that it has for the last ones, at the end of the process.
const LAST_PATIENCE: Duration = Duration::from_millis(800);

/// The task that exports the spans of requests until it is stopped.
pub(crate) struct SpanExport {
    spans: mpsc::Receiver<Vec<SpanData>>,
    exporter: SpanExporter,
    metrics: Metrics,
    /// Whether the last batch was lost, which the log says once.
    failing: bool,
}

// === impl SpanExport ===

impl SpanExport {
    /// Makes the task for a collector that takes traces at this URL, and the queue that feeds it.
    ///
    /// Errors: the URL cannot be used, in words.
    pub(crate) fn new(traces: &Url, metrics: &Metrics) -> Result<(SpanQueue, Self), String> {
        // The path is part of what the exporter asks for.
        let mut collector = traces.clone();
        collector.set_path("");
        let address = EngineAddress::new(collector, None).map_err(|e| e.to_string())?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(CollectorClient::new(address))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(traces.as_str())
            .with_timeout(PATIENCE)
            .build()
            .map_err(|error| error.to_string())?;
        exporter.set_resource(&Resource::builder().with_service_name("crucible").build());
        let (queue, spans) = SpanQueue::open(metrics.clone());
        let task = Self {
            spans,
            exporter,
            metrics: metrics.clone(),
            failing: false,
        };
        Ok((queue, task))
    }

    /// Exports until `stop`, then what still waits, for at most 0.8 s.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        while stop
            .run_until_cancelled(self.spans.recv_many(&mut batch, BATCH))
            .await
            .is_some_and(|count| count > 0)
        {
            let gathered = stop.run_until_cancelled(sleep(GATHER)).await;
            self.take(&mut batch, BATCH);
            // The end of the process does not wait for a collector that hangs.
            let exported = self.exported(std::mem::take(&mut batch), PATIENCE, &stop);
            exported.await;
            if gathered.is_none() {
                break;
            }
        }
        self.spans.close();
        self.take(&mut batch, WAITING);
        self.exported(batch, LAST_PATIENCE, &CancellationToken::new())
            .await;
    }

    /// Takes what waits already.
    fn take(&mut self, batch: &mut Vec<Vec<SpanData>>, most: usize) {
        while batch.len() < most
            && let Ok(spans) = self.spans.try_recv()
        {
            batch.push(spans);
        }
    }

    async fn exported(
        &mut self,
        batch: Vec<Vec<SpanData>>,
        patience: Duration,
        stop: &CancellationToken,
    ) {
        let spans: Vec<SpanData> = batch.into_iter().flatten().collect();
        let count = spans.len();
        if count == 0 {
            return;
        }
        let ended = async {
            stop.cancelled().await;
            sleep(LAST_PATIENCE).await;
        };
        let sending = timeout(patience, self.exporter.export(spans));
        let why = tokio::select! {
            sent = sending => match sent {
                Ok(Ok(())) => {
                    self.failing = false;
                    return;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it does not answer".to_owned(),
            },
            () = ended => "it does not answer".to_owned(),
        };
        self.metrics.spans_dropped(count);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(error = why, "the collector of spans takes none");
        }
    }
}
