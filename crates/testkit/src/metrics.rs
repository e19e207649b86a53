//! The numbers that a server exposes for Prometheus.

/// The text of `/metrics`.
#[derive(Debug)]
pub struct Metrics(pub String);

impl Metrics {
    /// A number by its full name, with its labels as they are printed.
    pub fn find(&self, name: &str) -> Option<f64> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }

    /// [`Metrics::find`] by the name without the prefix of all metrics.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.find(&format!("instant_audience_{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let text = "# HELP instant_audience_a b\ninstant_audience_ab 7\ninstant_audience_a{x=\"1\"} 2\ninstant_audience_a 12\n";
        let metrics = Metrics(text.to_owned());
        assert_eq!(metrics.get("a"), Some(12.0));
        assert_eq!(metrics.get("a{x=\"1\"}"), Some(2.0));
        assert_eq!(metrics.get("b"), None);
    }
}
