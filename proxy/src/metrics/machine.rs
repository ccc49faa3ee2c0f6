//! The families of the machine and of the process, set from readings. What was not read is absent, not 0.

use crucible_router::machine::readings::{
    CardReading, EnergyReading, HostMemory, PowerReadings, ProcessReading,
};

use super::{EMPTY, Metrics, family::float, runtime::raise_to, view::set_or_remove};

impl Metrics {
    /// Shows what this process uses.
    pub(super) fn update_process(&self, reading: Option<ProcessReading>) {
        let v = self.vectors();
        let reading = reading.unwrap_or_default();
        if let Some(cpu) = reading.cpu_seconds {
            raise_to(&v.process_cpu.with_label_values(EMPTY), cpu);
        }
        for (gauge, value) in [
            (&v.process_resident, reading.resident_bytes.map(float)),
            (&v.process_virtual, reading.virtual_bytes.map(float)),
            (&v.process_open_fds, reading.open_fds.map(float)),
            (&v.process_max_fds, reading.max_fds.map(float)),
            (&v.process_start_time, reading.start_seconds),
            (&v.process_threads, reading.threads.map(float)),
        ] {
            set_or_remove(gauge, EMPTY, value);
        }
    }

    /// Shows the main memory.
    pub(super) fn update_memory(&self, memory: Option<HostMemory>) {
        let v = self.vectors();
        let used = memory.map(|memory| float(memory.used));
        let total = memory.map(|memory| float(memory.total));
        set_or_remove(&v.host_memory_used, EMPTY, used);
        set_or_remove(&v.host_memory_total, EMPTY, total);
    }

    /// Shows the graphics cards and the energy of all sources. `fraction` is the share of a card's memory
    /// that models may use, `gpu_memory_fraction`.
    pub(super) fn update_power(&self, readings: &PowerReadings, fraction: f64) {
        let before = {
            let mut shown = self.inner.shown.lock();
            std::mem::replace(&mut shown.cards, readings.cards.len())
        };
        for number in 0..before.max(readings.cards.len()) {
            let card = readings.cards.get(number).copied().unwrap_or_default();
            self.set_card(&number.to_string(), &card, fraction);
        }
        let counter = &self.vectors().energy;
        for EnergyReading { source, joules, .. } in &readings.energy {
            raise_to(&counter.with_label_values(&[source]), *joules);
        }
    }

    fn set_card(&self, number: &str, card: &CardReading, fraction: f64) {
        let v = self.vectors();
        let total = card.memory_total.map(float);
        for (gauge, value) in [
            (&v.gpu_memory_used, card.memory_used.map(float)),
            (&v.gpu_memory_total, total),
            (&v.gpu_memory_limit, total.map(|total| total * fraction)),
            (&v.gpu_utilization, card.utilization),
            (&v.gpu_temperature, card.celsius),
            (&v.gpu_power, card.watts),
        ] {
            set_or_remove(gauge, &[number], value);
        }
    }
}
