//! Numbers for operators, in Prometheus' text form.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Where the lines between a histogram's buckets are, in seconds.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Returns the process's recorder: one for all services in it, since `metrics` has one.
///
/// `None` if another recorder was installed before.
pub fn handle() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let seconds = Matcher::Suffix("_seconds".to_owned());
            PrometheusBuilder::new().set_buckets_for_metric(seconds, &SECONDS).ok()?.install_recorder().ok()
        })
        .as_ref()
}

/// Sums up what histograms have collected: without it they grow until somebody asks.
pub(crate) fn upkeep() {
    if let Some(handle) = handle() {
        handle.run_upkeep();
    }
}

/// Numbers for operators, in Prometheus' text form.
#[utoipa::path(get, path = "/metrics", security(()), responses((status = 200, description = "The numbers", content_type = "text/plain")))]
pub(crate) async fn render() -> String {
    handle().map(PrometheusHandle::render).unwrap_or_default()
}
