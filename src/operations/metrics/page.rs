//! The page under construction: a name, a word of help, and values, in the shape of OpenMetrics.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::counters::{Histogram, Latencies};

/// Name and value.
pub(super) type Label<'a> = (&'static str, &'a str);

pub(super) struct Page<'e> {
    encoder: DescriptorEncoder<'e>,
}

impl<'e> Page<'e> {
    pub(super) fn new(encoder: DescriptorEncoder<'e>) -> Self {
        Self { encoder }
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// One series for each value of a label, or of several.
    pub(super) fn gauges<'l, V: EncodeGaugeValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([Label<'l>; N], V)>,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in series {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// `_total` is added to the name.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        ConstCounter::new(value).encode(self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    /// Of a counter that is no whole number, such as seconds.
    pub(super) fn counter_of_seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        ConstCounter::new(value).encode(self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    pub(super) fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([Label<'l>; N], u64)>,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in series {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// `per_unit` recorded units are one base unit: a million microseconds are a second.
    pub(super) fn histogram(&mut self, name: &str, help: &str, of: &Histogram, per_unit: f64) -> fmt::Result {
        let encoder = self.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        encode_buckets(encoder, as_f64(of.sum()) / per_unit, &scaled(of.buckets(), per_unit))
    }

    /// In seconds.
    pub(super) fn latencies(&mut self, name: &str, help: &str, of: &Latencies) -> fmt::Result {
        let encoder = self.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        encode_latencies(encoder, of)
    }

    /// In seconds, one for each value of a label, or of several.
    pub(super) fn latencies_of<'l, 'h, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = ([Label<'l>; N], &'h Latencies)>,
    ) -> fmt::Result {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, of) in series {
            encode_latencies(family.encode_family(&labels)?, of)?;
        }
        Ok(())
    }
}

type NoLabels = prometheus_client::encoding::NoLabelSet;

fn encode_latencies(encoder: MetricEncoder<'_>, of: &Latencies) -> fmt::Result {
    encode_buckets(encoder, as_f64(of.sum_us()) / 1e6, &scaled(of.buckets(), 1e6))
}

fn encode_buckets(mut encoder: MetricEncoder<'_>, sum: f64, buckets: &[(f64, u64)]) -> fmt::Result {
    let count = buckets.iter().map(|(_, count)| count).sum();
    encoder.encode_histogram::<NoLabels>(sum, count, buckets, None)
}

/// The bound `u64::MAX` stands for everything above.
fn scaled(buckets: impl Iterator<Item = (u64, u64)>, per_unit: f64) -> Vec<(f64, u64)> {
    let bound = |bound| if bound == u64::MAX { f64::INFINITY } else { as_f64(bound) / per_unit };
    buckets.map(|(upper, count)| (bound(upper), count)).collect()
}

/// Exact up to 2^53; above, a metric may be off by one in 10^16.
#[expect(clippy::cast_precision_loss, reason = "a metric is read by its leading digits")]
pub(super) fn as_f64(value: u64) -> f64 {
    value as f64
}
