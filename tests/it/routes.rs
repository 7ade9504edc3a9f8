//! What is served is what is documented.

use std::collections::BTreeSet;

use ledger_core::event::DeclineCode;
use ledger_core::rejection::Conflict;
use ledger_tests::TestLedger;
use reqwest::Method;
use serde_json::Value;

/// Lists the documented routes: path and method.
fn documented(openapi: &Value) -> BTreeSet<(String, String)> {
    let paths = openapi["paths"].as_object().unwrap();
    let mut routes = BTreeSet::new();
    for (path, item) in paths {
        for method in item.as_object().unwrap().keys() {
            routes.insert((path.clone(), method.to_uppercase()));
        }
    }
    routes
}

/// Puts an id where a path has a place for one.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_documented_route_is_served_and_no_other_method() {
    let ledger = TestLedger::start().await.unwrap();
    let no_such_route =
        ledger.command(Method::POST, "/v1/nowhere").bearer_auth(&ledger.operator).send().await.unwrap();
    let no_such_route: Value = no_such_route.json().await.unwrap();
    for is_command in [true, false] {
        let call = |method, path: &str| {
            if is_command { ledger.command(method, path) } else { ledger.query(method, path) }
        };
        let openapi: Value = call(Method::GET, "/openapi.json").send().await.unwrap().json().await.unwrap();
        assert!(openapi["openapi"].as_str().unwrap().starts_with("3.1"));
        let routes = documented(&openapi);
        assert!(routes.len() > 10, "{routes:?}");
        for (path, method) in &routes {
            let response = call(method.parse().unwrap(), &filled(path))
                .bearer_auth(&ledger.operator)
                .send()
                .await
                .unwrap();
            let status = response.status().as_u16();
            let body: Value = response.json().await.unwrap_or_default();
            assert_ne!(status, 405, "{method} {path}");
            assert_ne!(body["detail"], no_such_route["detail"], "{method} {path}");
        }
        for (path, method) in &routes {
            let other = if method == "GET" { Method::DELETE } else { Method::GET };
            if routes.contains(&(path.clone(), other.to_string())) {
                continue;
            }
            let response = call(other, &filled(path)).bearer_auth(&ledger.operator).send().await.unwrap();
            assert_eq!(response.status(), 405, "{path}");
            assert!(response.headers().contains_key("allow"), "{path}");
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["code"], "method_not_allowed");
        }
    }
    ledger.finish().await;
}

#[tokio::test]
async fn each_command_is_for_its_role_alone() {
    let ledger = TestLedger::start().await.unwrap();
    let shop = ledger.merchant(serde_json::json!({})).await;
    let openapi = ledger.command(Method::GET, "/openapi.json").send().await.unwrap();
    let openapi: Value = openapi.json().await.unwrap();
    let keys = [&ledger.operator, &shop.key, &ledger.auditor, &ledger.analyst];
    for (path, _) in documented(&openapi).iter().filter(|(_, method)| method == "POST") {
        // Both may send many at once, and no key of its own is needed for that.
        if path == "/v1/bulk" {
            continue;
        }
        let of_merchants = ["/v1/payments", "/v1/disputes/{id}/evidence", "/v1/payouts"];
        let of_the_house = ["/v1/payments/{id}/disputes", "/v1/payouts/{id}"];
        let starts = |paths: &[&str]| paths.iter().any(|of| path.starts_with(of));
        let may = usize::from(starts(&of_merchants) && !starts(&of_the_house));
        for (role, key) in keys.iter().enumerate() {
            // No idempotency key: whoever may gets as far as that, and no further.
            let mut request = ledger.command(Method::POST, &filled(path)).bearer_auth(key);
            // A file's type comes before its key.
            if path == "/v1/reconciliations" {
                request = request.header("Content-Type", "text/csv");
            }
            let body: Value = request.send().await.unwrap().json().await.unwrap();
            let expected = if role == may { "idempotency_key_required" } else { "forbidden" };
            assert_eq!(body["code"], expected, "{path}");
        }
    }
    ledger.finish().await;
}

#[tokio::test]
async fn both_services_tell_how_they_are() {
    let ledger = TestLedger::start().await.unwrap();
    ledger.client(100, "EUR").await;
    ledger.caught_up().await.unwrap();
    for path in ["/healthz", "/readyz", "/metrics", "/docs"] {
        for request in [ledger.command(Method::GET, path), ledger.query(Method::GET, path)] {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 200, "{path}");
            assert!(!response.headers()["request-id"].is_empty());
        }
    }
    let metrics = ledger.command(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for name in ["quittance_events_total", "quittance_batch_commands", "quittance_append_seconds"] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    ledger.finish().await;
}

#[tokio::test]
async fn every_code_of_the_tables_is_documented() {
    let ledger = TestLedger::start().await.unwrap();
    let listed = |schema: &Value| -> BTreeSet<String> {
        let codes = schema["enum"].as_array().unwrap().iter();
        codes.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    for is_command in [true, false] {
        let call = |path| {
            if is_command { ledger.command(Method::GET, path) } else { ledger.query(Method::GET, path) }
        };
        let openapi: Value = call("/openapi.json").send().await.unwrap().json().await.unwrap();
        let schemas = &openapi["components"]["schemas"];
        let problems = listed(&schemas["Problem"]["properties"]["code"]);
        assert!(Conflict::RULES.iter().all(|rule| problems.contains(rule.code)), "{problems:?}");
        assert!(
            problems.contains("idempotency_key_reused") && problems.contains("clock_skew"),
            "{problems:?}"
        );
        let declines = listed(&schemas["Payment"]["properties"]["decline_code"]);
        assert_eq!(declines, DeclineCode::RULES.iter().map(|rule| rule.code.to_owned()).collect());
        let page = call("/docs").send().await.unwrap().text().await.unwrap();
        for code in problems.iter().chain(&declines) {
            assert!(page.contains(&format!("id=\"{code}\"")), "{code}");
        }
    }
    ledger.finish().await;
}
