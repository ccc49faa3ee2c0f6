//! What the process keeps and runs on: its tasks, its workers and how busy they are, and the inspector.

use prometheus::Counter;
use tokio::runtime::Handle;

use super::{EMPTY, Metrics};

impl Metrics {
    /// Shows whether the inspector is on, and the bytes of what it keeps.
    pub(crate) fn update_inspector(&self, is_on: bool, kept_bytes: usize) {
        let v = self.vectors();
        let kept = f64::from(u32::try_from(kept_bytes).unwrap_or(u32::MAX));
        v.inspector_kept.with_label_values(EMPTY).set(kept);
        let is_on = f64::from(u8::from(is_on));
        v.inspector_on.with_label_values(EMPTY).set(is_on);
    }

    /// Brings the families of the runtime up to this moment; outside of a runtime nothing changes.
    pub(crate) fn update_runtime(&self) {
        let Ok(handle) = Handle::try_current() else {
            return;
        };
        let runtime = handle.metrics();
        let v = self.vectors();
        let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        v.runtime_tasks
            .with_label_values(EMPTY)
            .set(number(runtime.num_alive_tasks()));
        let workers = runtime.num_workers();
        v.runtime_workers
            .with_label_values(EMPTY)
            .set(number(workers));
        // tokio counts the busy time where the processor has 64-bit atomics.
        #[cfg(target_has_atomic = "64")]
        {
            let busy: std::time::Duration = (0..workers)
                .map(|worker| runtime.worker_total_busy_duration(worker))
                .sum();
            raise_to(&v.runtime_busy.with_label_values(EMPTY), busy.as_secs_f64());
        }
    }
}

/// Raises a counter to a total that is kept elsewhere. Of two scrapes at once each adds what it found
/// missing, so that one may count an instant of the other again; the next one is exact.
pub(super) fn raise_to(counter: &Counter, total: f64) {
    let missing = total - counter.get();
    if missing > 0.0 {
        counter.inc_by(missing);
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::{super::tests::value, *};

    #[tokio::test]
    async fn a_task_counts_as_long_as_it_lives_and_busy_time_only_grows() {
        let metrics = Metrics::new().unwrap();
        let tasks = |metrics: &Metrics| {
            metrics.update_runtime();
            value(metrics, "crucible_runtime_alive_tasks").unwrap()
        };
        let before = tasks(&metrics);
        let tracker = TaskTracker::new();
        let task = tracker.spawn(std::future::pending::<()>());
        assert!((tasks(&metrics) - before - 1.0).abs() < f64::EPSILON);
        assert_eq!(value(&metrics, "crucible_runtime_workers"), Some(1.0));
        task.abort();
        let _ = task.await;
        assert!((tasks(&metrics) - before).abs() < f64::EPSILON);
    }

    #[test]
    fn a_counter_is_raised_and_never_lowered() {
        let counter = Counter::new("c", "c").unwrap();
        raise_to(&counter, 1.5);
        raise_to(&counter, 1.25);
        assert!((counter.get() - 1.5).abs() < f64::EPSILON);
    }

    #[test]
    fn outside_of_a_runtime_nothing_changes() {
        Metrics::new().unwrap().update_runtime();
    }
}
