//! The bytes that the models of a pool may use together, from `tuning.lmstudio.gpu_memory_fraction`
//! and `tuning.ollama.memory_limit`.

use crucible_config::checked::{Config, Device};

use crate::machine::memory::MachineMemory;

/// The limits in bytes that the loads of an engine keep to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Budget {
    /// The limit of the engine's own pool; `None` is no limit.
    pub(super) own: Option<u64>,
    /// The limit of all pools together that share this machine's one memory; `None` is no limit.
    pub(super) parent: Option<u64>,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a size in bytes; the last bits do not matter"
)]
fn share(fraction: f64, of: u64) -> u64 {
    (of as f64 * fraction.clamp(0.0, 1.0)) as u64
}

/// 0.8 of main memory.
fn most_of(ram: u64) -> u64 {
    ram / 10 * 8
}

/// `[pool.NAME] budget`, else gpu: `gpu_memory_fraction` x total, cpu: the smaller of
/// `memory_limit` and 0.8 x main memory. `local`: the pool is this machine's own.
pub(super) fn budget(
    config: &Config,
    pool: &str,
    device: Device,
    machine: MachineMemory,
    local: bool,
) -> Budget {
    let configured = config.pools.get(pool);
    let machine = if local {
        machine
    } else {
        MachineMemory::default()
    };
    let told = configured.and_then(|p| p.memory);
    let own = configured.and_then(|p| p.budget).or_else(|| match device {
        Device::Cpu => {
            let limit = config.tuning.ollama.memory_limit;
            let ram = told.or(machine.ram);
            Some(ram.map_or(limit, |ram| limit.min(most_of(ram))))
        }
        Device::Gpu | Device::Auto => {
            let unified = machine.ram.filter(|_| machine.unified);
            let total = told.or(machine.vram).or(unified)?;
            Some(share(config.tuning.lmstudio.gpu_memory_fraction, total))
        }
    });
    Budget {
        own,
        parent: machine.ram.filter(|_| machine.unified).map(most_of),
    }
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::PoolSettings;

    use super::*;

    const GB: u64 = 1_000_000_000;
    const MACHINE: MachineMemory = MachineMemory {
        ram: Some(10 * GB),
        vram: None,
        unified: false,
    };

    #[test]
    fn main_memory_has_the_smaller_of_limit_and_share() {
        let mut config = Config::builtin();
        let own = |config: &Config, machine, local| {
            budget(config, "cpu", Device::Cpu, machine, local).own
        };
        assert_eq!(own(&config, MACHINE, true), Some(8 * GB));
        // Of another machine nothing but the limit is known.
        assert_eq!(own(&config, MACHINE, false), Some(16 * GB));
        assert_eq!(own(&config, MachineMemory::default(), true), Some(16 * GB));
        config.tuning.ollama.memory_limit = 3 * GB;
        assert_eq!(own(&config, MACHINE, true), Some(3 * GB));
        let pool = PoolSettings {
            budget: Some(5 * GB),
            ..PoolSettings::default()
        };
        config.pools.insert("cpu".into(), pool);
        assert_eq!(own(&config, MACHINE, true), Some(5 * GB));
    }

    #[test]
    fn a_gpu_of_unknown_size_has_no_budget() {
        let mut config = Config::builtin();
        let of = |config: &Config, machine| budget(config, "gpu", Device::Gpu, machine, true);
        assert_eq!(of(&config, MACHINE), Budget::default());
        let vram = Some(20 * GB);
        assert_eq!(
            of(&config, MachineMemory { vram, ..MACHINE }).own,
            Some(16 * GB)
        );
        let unified = MachineMemory {
            unified: true,
            ..MACHINE
        };
        let both = Budget {
            own: Some(8 * GB),
            parent: Some(8 * GB),
        };
        assert_eq!(of(&config, unified), both);
        let pool = PoolSettings {
            memory: Some(12 * GB),
            ..PoolSettings::default()
        };
        config.pools.insert("gpu".into(), pool);
        assert_eq!(of(&config, MACHINE).own, Some(9_600_000_000));
    }
}
