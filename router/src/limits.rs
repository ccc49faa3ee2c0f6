//! Rate limits on requests, one for each client key that has a `rate`.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use crucible_config::checked::{ClientKey, Config, Rate};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};

type KeyLimiter<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;
type KeyLimiters<C> = HashMap<Arc<str>, (Rate, Arc<KeyLimiter<C>>)>;

/// The limiters of all keys that have a rate, shared by all requests.
pub struct KeyLimits<C: Clock = DefaultClock> {
    clock: C,
    limiters: ArcSwap<KeyLimiters<C>>,
}

// === impl KeyLimits ===

impl<C: Clock + Clone> KeyLimits<C> {
    /// Makes a set without limits; [`apply`](Self::apply) sets them.
    pub fn new(clock: C) -> Self {
        Self {
            clock,
            limiters: ArcSwap::from_pointee(HashMap::new()),
        }
    }

    /// Takes the rates of a new configuration. A key whose rate did not change keeps the requests
    /// that it has used.
    pub fn apply(&self, config: &Config) {
        self.set(config.keys.iter().filter_map(|k| Some((&k.name, k.rate?))));
    }

    fn set<'a>(&self, rates: impl Iterator<Item = (&'a Arc<str>, Rate)>) {
        let old = self.limiters.load();
        let new = rates.filter_map(|(name, rate)| {
            let kept = old.get(name).filter(|(r, _)| *r == rate).cloned();
            let entry = if let Some(entry) = kept {
                entry
            } else {
                let count = NonZeroU32::new(rate.count)?;
                let quota = Quota::with_period(rate.per / rate.count)?.allow_burst(count);
                let limiter = RateLimiter::direct_with_clock(quota, self.clock.clone());
                (rate, Arc::new(limiter))
            };
            Some((Arc::clone(name), entry))
        });
        let new: KeyLimiters<C> = new.collect();
        self.limiters.store(Arc::new(new));
    }

    /// Counts one request of that key.
    ///
    /// Errors: the time to wait where the key has used its rate. A key without a rate is never
    /// refused.
    pub fn check(&self, key: &ClientKey) -> Result<(), Duration> {
        self.check_name(&key.name)
    }

    fn check_name(&self, name: &str) -> Result<(), Duration> {
        let limiters = self.limiters.load();
        let Some((_, limiter)) = limiters.get(name) else {
            return Ok(());
        };
        limiter
            .check()
            .map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn unchanged_rate_keeps_its_state_and_refills_with_time() {
        let clock = FakeRelativeClock::default();
        let limits = KeyLimits::new(clock.clone());
        let name: Arc<str> = "laptop".into();
        let rate = Rate {
            count: 2,
            per: Duration::from_secs(60),
        };
        limits.set(std::iter::once((&name, rate)));
        assert!(limits.check_name("laptop").is_ok());
        assert!(limits.check_name("laptop").is_ok());
        limits.set(std::iter::once((&name, rate)));
        assert_eq!(limits.check_name("laptop"), Err(Duration::from_secs(30)));
        clock.advance(Duration::from_secs(30));
        assert!(limits.check_name("laptop").is_ok());
        assert!(limits.check_name("unlimited").is_ok());
    }
}
