//! A histogram with attributes that stay the same.

#[cfg(feature = "opentelemetry-bound")]
use std::sync::OnceLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;

/// What is known of one series of a histogram.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// Once something was recorded: a series without a record would be exported, too.
    #[cfg(feature = "opentelemetry-bound")]
    bound: OnceLock<opentelemetry::metrics::BoundHistogram<f64>>,
}

impl Series {
    /// Records a value with these attributes, always the same ones, which are not looked up again.
    #[cfg(feature = "opentelemetry-bound")]
    #[inline]
    pub(super) fn record(&self, histogram: &Histogram<f64>, value: f64, attributes: &[KeyValue]) {
        self.bound.get_or_init(|| histogram.bind(attributes)).record(value);
    }

    /// Records a value with these attributes.
    #[cfg(not(feature = "opentelemetry-bound"))]
    #[inline]
    #[expect(clippy::unused_self, reason = "with another feature it is used")]
    pub(super) fn record(&self, histogram: &Histogram<f64>, value: f64, attributes: &[KeyValue]) {
        histogram.record(value, attributes);
    }
}
