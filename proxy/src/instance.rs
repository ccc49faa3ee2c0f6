//! One running instance of Crucible: its start, its reloads and its drain.

mod listeners;
mod reload;
mod tasks;

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crucible_cli::signals::{InstanceSignal, InstanceSignals};
use crucible_config::{Config, FileWatch, LiveConfig, WatchEvent, watch};
use crucible_router::{discovery, event::EventObserver, handle::RouterHandle, state_dir::StateDir};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{listeners::BoundListeners, reload::tell_reload, tasks::InstanceTasks};
use crate::{
    events::{self, EnergyMeter, LoggedObserver, Timeline},
    ledger::{LedgerSinks, RecentLoads},
    metrics::Metrics,
    otlp::{SpanExport, SpanQueue},
    server::{ConnectionSlots, Listener},
    state::AppState,
    telemetry::LostLines,
    upstream::Upstream,
};

/// The time that streams have after the drain to hand out their last event.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// One running Crucible: its listeners, its router and its background tasks, from the start to the end
/// of the drain.
pub struct Instance {
    app: AppState,
    config: LiveConfig,
    addrs: Vec<SocketAddr>,
    metrics_addr: Option<SocketAddr>,
    /// The slots of the clients' listeners.
    slots: Vec<Arc<ConnectionSlots>>,
    tasks: InstanceTasks,
}

/// The metrics as they stand at the start.
fn counting(log: LostLines, connections: usize) -> io::Result<Metrics> {
    let metrics = Metrics::new().map_err(io::Error::other)?;
    metrics.watch_log(log);
    metrics.set_connections_limit(u32::try_from(connections).unwrap_or(u32::MAX));
    metrics.config_loaded(SystemTime::now());
    Ok(metrics)
}

/// Starts the export of spans, where it is configured, and returns the way to it.
fn spans(
    config: &Config,
    metrics: &Metrics,
    background: &TaskTracker,
    stop: &CancellationToken,
) -> io::Result<SpanQueue> {
    let Some(traces) = &config.traces_url() else {
        return Ok(SpanQueue::default());
    };
    let (queue, export) = SpanExport::new(traces, metrics).map_err(io::Error::other)?;
    background.spawn(export.run(stop.clone()));
    Ok(queue)
}

/// Claims the folder of state; the log says so where another instance owns it.
fn claim(config: &Config) -> Arc<StateDir> {
    let state = StateDir::claim(&config.state_dir);
    state.tell();
    Arc::new(state)
}

/// Starts the router, the event log and the ways to engines, and puts the state of the handlers together.
fn assemble(
    config: &LiveConfig,
    metrics: Metrics,
    state: Arc<StateDir>,
    listeners: &BoundListeners,
    tasks: &InstanceTasks,
) -> io::Result<AppState> {
    let current = config.current();
    let background = &tasks.background;
    let (events, writer) = events::configured(&current, &metrics);
    let loads = Arc::<RecentLoads>::default();
    let spans = spans(&current, &metrics, background, &tasks.router)?;
    let timeline = Timeline::default();
    let observer = LoggedObserver {
        observer: metrics.clone(),
        events: events.clone(),
        last: Arc::clone(&loads) as Arc<dyn EventObserver>,
        timeline: timeline.clone(),
    };
    let source = config.clone();
    let router = RouterHandle::start(
        Arc::new(move || source.current()),
        Arc::clone(&state),
        config.subscribe(),
        discovery::places(Path::new("/"), &listeners.own_addrs()),
        Arc::new(observer),
        background,
        tasks.router.clone(),
    );
    if !current.keys.is_empty() {
        events::charge_today(&current.state_dir, router.daily_tokens());
    }
    router.remember(Arc::clone(&state), background, tasks.router.clone());
    if let Some(writer) = writer {
        background.spawn(writer.run(router.clone(), state, tasks.router.clone()));
    }
    let upstream = Upstream::new(current.timeouts.connect, metrics.clone());
    background.spawn(upstream.clone().sweep(tasks.router.clone()));
    let sinks = LedgerSinks {
        events: events.clone(),
        spans,
        loads,
        timeline,
    };
    let app = AppState::new(
        config.clone(),
        router,
        metrics,
        upstream,
        tasks.stop.clone(),
        tasks.ending.clone(),
        sinks,
    );
    let meter = EnergyMeter::new(events, app.machine.clone(), Arc::clone(&app.active));
    background.spawn(meter.run(tasks.router.clone()));
    Ok(app)
}

// === impl Instance ===

impl Instance {
    /// Binds every listener, starts the router and serves. `log` tells what stderr loses.
    ///
    /// # Errors
    /// An address cannot be bound; the text names it.
    #[expect(
        clippy::unused_async,
        reason = "sockets and tasks need the runtime that a caller outside of one has to enter"
    )]
    pub async fn start(config: LiveConfig, log: LostLines) -> io::Result<Self> {
        let tasks = InstanceTasks::default();
        let current = config.current();
        let metrics = counting(log, current.limits.connections)?;
        let listeners = BoundListeners::bind(&current, &metrics)?;
        // Only now: who finds its address taken has no claim on anything.
        let state = claim(&current);
        let app = assemble(&config, metrics, state, &listeners, &tasks)?;
        tasks.watch_over(&app);
        let (addrs, metrics_addr) = (listeners.addrs.clone(), listeners.metrics_addr);
        let slots = listeners.clients.iter().map(Listener::slots).collect();
        listeners.serve(&app, &tasks);
        Ok(Self {
            app,
            config,
            addrs,
            metrics_addr,
            slots,
            tasks,
        })
    }

    /// The addresses at which clients are served.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// The address at which `metrics_listen` is served.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// The state that the handlers share.
    pub fn app(&self) -> &AppState {
        &self.app
    }

    /// Reads the configuration again and says in the log how that went.
    pub fn reload(&self) {
        tell_reload(&self.app.metrics, self.config.reload());
    }

    /// Reloads the configuration when its file changes, until the watch is dropped. Without a watch
    /// SIGHUP still reloads.
    fn watch(&self) -> Option<FileWatch> {
        let metrics = self.app.metrics.clone();
        let told = move |seen| match seen {
            WatchEvent::Changed(result) => tell_reload(&metrics, result),
            WatchEvent::Detached => tracing::warn!(
                "the configuration file was replaced where it is mounted from, and the mount still \
                 shows the old one: mount its folder instead of the file, or start anew"
            ),
        };
        watch(&self.config, told).unwrap_or_else(|error| {
            tracing::warn!(%error, "the configuration file is not watched; SIGHUP reloads it");
            None
        })
    }

    /// Serves until a signal ends it: the first one drains, the second one ends at once.
    pub async fn run(self, mut signals: InstanceSignals) {
        let watch = self.watch();
        while signals.next().await == InstanceSignal::Reload {
            self.reload();
        }
        drop(watch);
        self.drain(&mut signals).await;
    }

    /// Ends without a drain, for a start that came to nothing.
    pub async fn end(self) {
        self.tasks.stop.cancel();
        self.tasks.kill.cancel();
        self.app.router.shutdown().await;
        self.finish().await;
    }

    /// Refuses what is new, lets answers finish within `timeouts.drain`, then ends them with an error.
    async fn drain(self, signals: &mut InstanceSignals) {
        let budget = self.config.current().timeouts.drain;
        tracing::info!(budget_s = budget.as_secs(), "draining");
        self.tasks.stop.cancel();
        self.tasks.connections.close();
        let until = Instant::now() + budget;
        let drained = async {
            if timeout_at(until, self.app.active.emptied()).await.is_err() {
                self.app.ending.cancel();
            }
            // The last bytes are handed to the sockets after an answer has ended; a client that reads
            // slowly takes as long for them as it would for the rest of a stream.
            while timeout(LAST_WORDS, self.tasks.connections.wait())
                .await
                .is_err()
                && Instant::now() < until
                && self.slots.iter().any(|slots| slots.are_writing())
            {}
        };
        let at_once = tokio::select! {
            () = drained => false,
            () = signals.end() => true,
        };
        self.tasks.kill.cancel();
        if !at_once {
            self.app.router.shutdown().await;
        }
        self.finish().await;
        tracing::info!("ended");
    }

    async fn finish(self) {
        // Connections that were cut end theirs; the event log is still written.
        self.tasks.connections.close();
        let _ = timeout(LAST_WORDS, self.tasks.connections.wait()).await;
        self.app.ledger.settle();
        self.tasks.router.cancel();
        self.tasks.background.close();
        tokio::select! {
            () = self.tasks.background.wait() => {}
            () = sleep(LAST_WORDS) => {}
        }
        self.app.ledger.settle();
    }
}
