//! A node's page of metrics, read as far as `top` asks.

/// What is on it, line by line.
#[derive(Debug, Clone, Default)]
pub(super) struct Page {
    /// Name, labels as they are written, value.
    series: Vec<(String, String, f64)>,
}

impl Page {
    /// Lines that have no value are passed over: the page is the node's, and may be of another version.
    pub(super) fn read(text: &str) -> Self {
        let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some((name.to_owned(), labels.trim_end_matches('}').to_owned(), value.parse().ok()?))
        });
        Self { series: series.collect() }
    }

    /// Of all series of that name, together; none if there is none.
    pub(super) fn sum(&self, name: &str) -> Option<f64> {
        self.series.iter().filter(|(of, _, _)| of == name).map(|(_, _, value)| *value).reduce(|sum, value| sum + value)
    }

    /// The buckets of a histogram, those of all series together that have each of `labels`, by upper bound.
    pub(super) fn buckets(&self, name: &str, labels: &[&str]) -> Vec<(f64, f64)> {
        let name = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (_, of, count) in self.series.iter().filter(|(of, _, _)| *of == name) {
            let bound = of.rsplit_once("le=\"").and_then(|(_, rest)| rest.trim_end_matches('"').parse().ok());
            let Some(bound) = bound.filter(|_| labels.iter().all(|label| of.contains(label))) else { continue };
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, sum)) => *sum += count,
                None => buckets.push((bound, *count)),
            }
        }
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        buckets
    }
}

/// The value below which a share of what came between two looks is, as Prometheus' `histogram_quantile` has it: even within a bucket,
/// and of the last bucket its lower bound. None if nothing came.
pub(super) fn quantile(share: f64, before: &[(f64, f64)], now: &[(f64, f64)]) -> Option<f64> {
    // A node that started again counts from 0.
    let came: Vec<(f64, f64)> = now
        .iter()
        .map(|(bound, count)| {
            let earlier = before.iter().find(|(known, _)| known == bound).map_or(0.0, |(_, count)| *count);
            (*bound, (count - earlier).max(0.0))
        })
        .collect();
    let wanted = share * came.last().map(|(_, all)| *all).filter(|all| *all > 0.0)?;
    let at = came.iter().position(|(_, count)| *count >= wanted)?;
    let (lower, below) = if at == 0 { (0.0, 0.0) } else { came[at - 1] };
    let (upper, up_to) = came[at];
    if upper.is_infinite() {
        return Some(lower);
    }
    Some(lower + (upper - lower) * (wanted - below) / (up_to - below).max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# TYPE stampede_orders gauge
stampede_orders{state=\"issued\"} 7
stampede_orders{state=\"expired\"} 2
stampede_raft_term 3
took_seconds_bucket{grpc_service=\"a\",le=\"0.1\"} 1
took_seconds_bucket{grpc_service=\"a\",le=\"+Inf\"} 2
took_seconds_bucket{grpc_service=\"b\",le=\"0.1\"} 10
took_seconds_bucket{grpc_service=\"b\",le=\"+Inf\"} 10
no value
# EOF
";

    #[test]
    fn series_are_added_up_and_buckets_by_their_bounds() {
        let page = Page::read(PAGE);
        assert_eq!((page.sum("stampede_orders"), page.sum("stampede_raft_term")), (Some(9.0), Some(3.0)));
        assert_eq!(page.sum("stampede_order"), None);
        assert_eq!(page.buckets("took_seconds", &[]), [(0.1, 11.0), (f64::INFINITY, 12.0)]);
        assert_eq!(page.buckets("took_seconds", &["grpc_service=\"a\""]), [(0.1, 1.0), (f64::INFINITY, 2.0)]);
    }

    #[test]
    fn a_quantile_is_of_what_came_between_two_looks() {
        let at = |a, b, c| vec![(0.1, a), (0.2, b), (f64::INFINITY, c)];
        let table = [
            (at(0.0, 0.0, 0.0), at(0.0, 0.0, 0.0), None),
            (at(5.0, 5.0, 5.0), at(5.0, 5.0, 5.0), None),
            (at(5.0, 5.0, 5.0), at(5.0, 105.0, 105.0), Some(0.199)),
            (at(0.0, 0.0, 0.0), at(100.0, 100.0, 100.0), Some(0.099)),
            (at(0.0, 0.0, 0.0), at(0.0, 0.0, 10.0), Some(0.2)),
            (at(50.0, 50.0, 50.0), at(1.0, 2.0, 2.0), None),
        ];
        for (before, now, expected) in table {
            let found = quantile(0.99, &before, &now);
            let is_near = found.zip(expected).map_or(found == expected, |(a, b): (f64, f64)| (a - b).abs() < 1e-9);
            assert!(is_near, "{before:?} {now:?}: {found:?}");
        }
    }
}
