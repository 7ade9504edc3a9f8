//! A page of the API, written from its OpenAPI document: no script, no asset from elsewhere.

use std::fmt::Write;

use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger_core::event::DeclineCode;
use ledger_core::rejection::{Conflict, Rule};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::problem::ApiError;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
code{background:#8882;padding:.1em .3em;border-radius:.2em}section{border-top:1px solid #8884;padding:.5rem 0}\
h2{font-size:1rem}h3{font-size:1rem}b{display:inline-block;min-width:4rem}dt{float:left;clear:left}\
dd{margin-left:14rem}";

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
            write_operation(&mut html, method, path, operation);
        }
    }
    write_problems(&mut html);
    html.push_str("</html>");
    html
}

fn write_operation(html: &mut String, method: &str, path: &str, operation: &Value) {
    let _ = write!(
        html,
        "<section><h2><b>{}</b> <code>{}</code></h2><p>{}</p><p>{}</p>",
        method.to_uppercase(),
        escaped(&Value::from(path)),
        escaped(&operation["summary"]),
        escaped(&operation["description"]),
    );
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let body = &operation["requestBody"]["content"]["application/json"]["schema"]["properties"];
    let fields = body.as_object().into_iter().flatten();
    let named = parameters.map(|parameter| (&parameter["name"], &parameter["description"]));
    let mut rows: String = named.map(|(name, about)| row(&escaped(name), &escaped(about))).collect();
    rows.extend(
        fields
            .map(|(name, field)| row(&escaped(&Value::from(name.as_str())), &escaped(&field["description"]))),
    );
    if !rows.is_empty() {
        let _ = write!(html, "<dl>{rows}</dl>");
    }
    html.push_str("</section>");
}

fn row(name: &str, about: &str) -> String {
    format!("<dt><code>{name}</code></dt><dd>{about}&nbsp;</dd>")
}

/// Writes what each code means: where a problem's `type` leads.
fn write_problems(html: &mut String) {
    html.push_str("<section><h3>Problems</h3><dl>");
    for error in ApiError::examples() {
        let about = format!("{}: {}. {}", error.status().as_u16(), error.title(), error.detail());
        write_problem(html, error.code(), &about);
    }
    for Rule { code, title, rule } in Conflict::RULES {
        write_problem(html, code, &format!("409: {title}. {rule}"));
    }
    html.push_str("</dl></section><section><h3>Declines</h3><dl>");
    for Rule { code, title, rule } in DeclineCode::RULES {
        write_problem(html, code, &format!("{title}. {rule}"));
    }
    html.push_str("</dl></section>");
}

fn write_problem(html: &mut String, code: &str, about: &str) {
    let about = escaped(&Value::from(about));
    let _ = write!(html, "<dt id=\"{code}\"><code>{code}</code></dt><dd>{about}</dd>");
}

/// Answers with the page; its style stands in it, so that is all that may be used.
pub(crate) fn answer(page: &str) -> Response {
    let style = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let policy = format!("default-src 'none'; style-src 'sha256-{style}'; frame-ancestors 'none'");
    ([(CONTENT_SECURITY_POLICY, policy)], Html(page.to_owned())).into_response()
}

fn escaped(text: &Value) -> String {
    let text = text.as_str().unwrap_or_default();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shows_routes_and_problems_and_runs_nothing() {
        let page = page(&json!({
            "info": { "title": "T", "description": "<script>alert(1)</script>" },
            "paths": { "/v1/x/{id}": { "get": { "summary": "Shows an x.", "parameters": [{ "name": "id" }] } } },
        }));
        for text in
            ["GET", "/v1/x/{id}", "Shows an x.", "id=\"projection_behind\"", "id=\"refund_exceeds_captured\""]
        {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("<script"));
    }
}
