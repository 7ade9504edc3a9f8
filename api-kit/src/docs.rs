//! A page of the API, written from its OpenAPI document: no script, no asset from elsewhere.

use std::fmt::Write;

use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse, Response};
use serde_json::Value;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
code{background:#8882;padding:.1em .3em;border-radius:.2em}section{border-top:1px solid #8884;padding:.5rem 0}\
h2{font-size:1rem}b{display:inline-block;min-width:4rem}";

/// Writes the page.
pub(crate) fn page(openapi: &Value) -> String {
    let info = &openapi["info"];
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         <h1>{title}</h1><p>{about}</p><p>The contract: <a href=\"/openapi.json\">/openapi.json</a></p>",
        title = escaped(&info["title"]),
        about = escaped(&info["description"]),
    );
    for (path, item) in openapi["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let _ = write!(
                html,
                "<section><h2><b>{}</b> <code>{}</code></h2><p>{}</p><p>{}</p></section>",
                method.to_uppercase(),
                escaped(&Value::from(path.as_str())),
                escaped(&operation["summary"]),
                escaped(&operation["description"]),
            );
        }
    }
    html.push_str("</html>");
    html
}

/// Answers with the page; its style stands in it, so that is all that may be used.
pub(crate) fn answer(page: &str) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(page.to_owned())).into_response()
}

fn escaped(text: &Value) -> String {
    let text = text.as_str().unwrap_or_default();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
