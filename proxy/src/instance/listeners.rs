//! The sockets of an instance: bound first, so that an address that is taken ends the start before anything
//! else has begun, and served once everything is there.

use std::{io, net::SocketAddr, sync::Arc};

use crucible_config::Config;

use super::tasks::InstanceTasks;
use crate::{
    edge,
    metrics::Metrics,
    server::{ConnectionLimits, ConnectionSlots, Listener, OnOpen, descriptors},
    state::AppState,
};

/// The most connections of `metrics_listen`.
const SCRAPERS: usize = 64;

/// The least bytes that are discarded of a body that a client still sends after its answer.
const LINGER: u64 = 64 << 20;

/// The sockets of an instance, bound and not yet served.
pub(super) struct BoundListeners {
    pub(super) clients: Vec<Listener>,
    pub(super) metrics: Option<Listener>,
    pub(super) addrs: Vec<SocketAddr>,
    pub(super) metrics_addr: Option<SocketAddr>,
}

/// Counts connections from their opening to their end.
fn counted(metrics: &Metrics) -> OnOpen {
    let metrics = metrics.clone();
    Arc::new(move || Box::new(metrics.connection()) as Box<dyn Send>)
}

// === impl BoundListeners ===

impl BoundListeners {
    /// Binds the sockets for clients, and the one of `metrics_listen`.
    pub(super) fn bind(config: &Config, metrics: &Metrics) -> io::Result<Self> {
        let limits = ConnectionLimits {
            header_bytes: config.limits.header,
            header: config.timeouts.header,
            client_stall: config.timeouts.client_stall,
            linger: config.limits.body.max(LINGER),
        };
        let counts = metrics.clone();
        let slots = ConnectionSlots::new(
            descriptors::affordable(config.limits.connections),
            Arc::new(move || counts.connection_evicted()),
        );
        let on_open = counted(metrics);
        let mut clients = Vec::new();
        for addr in &config.listen {
            clients.push(
                Listener::bind(*addr, limits, Arc::clone(&slots), Arc::clone(&on_open))
                    .map_err(|e| named(*addr, &e))?,
            );
        }
        let metrics = match config.metrics_listen {
            Some(addr) => Some(
                // Scrapers are no clients, and are not counted as such.
                Listener::bind(
                    addr,
                    limits,
                    ConnectionSlots::new(SCRAPERS, Arc::new(|| {})),
                    Arc::new(|| Box::new(())),
                )
                .map_err(|e| named(addr, &e))?,
            ),
            None => None,
        };
        let addrs = clients.iter().map(Listener::addr);
        let addrs = addrs.collect::<io::Result<_>>()?;
        let metrics_addr = metrics.as_ref().map(Listener::addr).transpose()?;
        Ok(Self {
            clients,
            metrics,
            addrs,
            metrics_addr,
        })
    }

    /// Returns the addresses at which this instance answers.
    pub(super) fn own_addrs(&self) -> Vec<SocketAddr> {
        self.addrs
            .iter()
            .copied()
            .chain(self.metrics_addr)
            .collect()
    }

    /// Serves all of them.
    pub(super) fn serve(self, app: &AppState, tasks: &InstanceTasks) {
        let service = edge::edge(app);
        let on_refuse = edge::on_refuse(app);
        for listener in self.clients {
            tasks.background.spawn(listener.run(
                service.clone(),
                Arc::clone(&on_refuse),
                tasks.connections.clone(),
                tasks.stop.clone(),
                tasks.kill.clone(),
            ));
        }
        if let Some(listener) = self.metrics {
            tasks.background.spawn(listener.run(
                edge::metrics_edge(app),
                on_refuse,
                tasks.connections.clone(),
                tasks.stop.clone(),
                tasks.kill.clone(),
            ));
        }
    }
}

fn named(addr: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot listen on {addr}: {error}; is another program there? try --listen"),
    )
}
