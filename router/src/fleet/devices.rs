//! The device that an engine computes on, and the memory that it shares.

use std::sync::Arc;

use crucible_config::checked::Device;
use url::Url;

/// The facts of one engine that decide the devices of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceClaim {
    /// The configured device.
    pub device: Device,
    /// Whether it was decided before that this engine leaves the GPU to another one.
    pub latched: bool,
}

/// The device of each engine and whether it is latched now. `Auto` is the GPU until another
/// engine claims it by `device = "gpu"` (configured, or found); the decision is then kept, because
/// an engine that changed its mind would load everything again.
pub fn resolve_devices(claims: &[DeviceClaim]) -> Vec<Device> {
    claims
        .iter()
        .enumerate()
        .map(|(me, claim)| {
            let taken = || {
                claims
                    .iter()
                    .enumerate()
                    .any(|(other, c)| other != me && c.device == Device::Gpu)
            };
            match claim.device {
                Device::Auto if claim.latched || taken() => Device::Cpu,
                Device::Auto | Device::Gpu => Device::Gpu,
                Device::Cpu => Device::Cpu,
            }
        })
        .collect()
}

/// The memory that an engine shares by default: its device on its host.
pub fn default_pool(device: Device, url: Option<&Url>) -> Arc<str> {
    let device = if device == Device::Cpu { "cpu" } else { "gpu" };
    let host = url.and_then(Url::host).filter(|host| match host {
        url::Host::Domain(name) => *name != "localhost" && !name.ends_with(".localhost"),
        url::Host::Ipv4(ip) => !ip.is_loopback() && !ip.is_unspecified(),
        url::Host::Ipv6(ip) => !ip.is_loopback() && !ip.is_unspecified(),
    });
    match host {
        Some(host) => Arc::from(format!("{device}@{host}")),
        None => Arc::from(device),
    }
}
