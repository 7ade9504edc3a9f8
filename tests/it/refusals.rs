//! Bad requests: each is refused with the contract's status and code, and leaves the log as it was.

use ledger_tests::people::{Client, Merchant};
use ledger_tests::{Answer, TestLedger};
use reqwest::Method;
use serde_json::{Value, json};

/// The people of the list.
struct Scene {
    ledger: TestLedger,
    shop: Merchant,
    other: Merchant,
    ada: Client,
    payment: String,
}

/// One bad request.
struct Bad {
    name: &'static str,
    api_key: Option<String>,
    method: Method,
    path: String,
    idempotency_key: Option<Vec<u8>>,
    content_type: Option<&'static str>,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    /// For 422: pointer and code of one of the errors.
    error: Option<(&'static str, &'static str)>,
}

impl Scene {
    async fn open() -> Self {
        let ledger = TestLedger::start().await.unwrap();
        let (shop, other) = (ledger.merchant(json!({})).await, ledger.merchant(json!({})).await);
        let ada = ledger.client(100_000, "EUR").await;
        let payment = ledger.pay(&shop, &ada, 1_000, "manual").await.expect(201).text_of("id");
        Self { ledger, shop, other, ada, payment }
    }

    fn bad(
        &self,
        name: &'static str,
        path: &str,
        body: impl Into<Vec<u8>>,
        status: u16,
        code: &'static str,
    ) -> Bad {
        let is_merchants = path.starts_with("/v1/payments");
        Bad {
            name,
            api_key: Some(if is_merchants { self.shop.key.clone() } else { self.ledger.operator.clone() }),
            method: Method::POST,
            path: path.to_owned(),
            idempotency_key: Some(name.replace(' ', "-").into_bytes()),
            content_type: Some("application/json"),
            body: body.into(),
            status,
            code,
            error: None,
        }
    }

    /// A body that fails validation at a pointer.
    fn invalid(
        &self,
        name: &'static str,
        path: &str,
        body: &Value,
        error: (&'static str, &'static str),
    ) -> Bad {
        Bad { error: Some(error), ..self.bad(name, path, body.to_string(), 422, "invalid_request") }
    }

    /// A valid payment with one member changed.
    fn payment_with(&self, pointer: &str, value: Value) -> Value {
        let mut body = json!({ "amount": { "amount": 100, "currency": "EUR" }, "card": self.ada.card });
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[member] = value;
        body
    }

    async fn send(&self, bad: &Bad) -> Answer {
        let mut request = self.ledger.command(bad.method.clone(), &bad.path).body(bad.body.clone());
        if let Some(key) = &bad.api_key {
            request = request.bearer_auth(key);
        }
        if let Some(key) = &bad.idempotency_key {
            request =
                request.header("Idempotency-Key", reqwest::header::HeaderValue::from_bytes(key).unwrap());
        }
        if let Some(kind) = bad.content_type {
            request = request.header("Content-Type", kind);
        }
        Answer::read(request.send().await.unwrap()).await.unwrap()
    }
}

fn deposit(scene: &Scene) -> String {
    format!("/v1/clients/{}/deposits", scene.ada.id)
}

/// What is refused before the body's fields are looked at.
fn at_the_door(scene: &Scene) -> Vec<Bad> {
    let good = r#"{"amount":{"amount":5,"currency":"EUR"}}"#;
    let path = deposit(scene);
    let payment = format!("/v1/payments/{}/capture", scene.payment);
    let ten_megabytes = vec![b' '; 10 * 1024 * 1024];
    let bad = |name, body: &str, status, code| scene.bad(name, &path, body, status, code);
    vec![
        Bad { api_key: None, ..bad("no api key", good, 401, "unauthenticated") },
        Bad { api_key: Some("qk_0000".into()), ..bad("unknown api key", good, 401, "unauthenticated") },
        Bad { api_key: Some("nonsense".into()), ..bad("no qk", good, 401, "unauthenticated") },
        Bad { api_key: None, ..scene.bad("401 before 404", "/v1/nowhere", good, 401, "unauthenticated") },
        scene.bad("unknown route", "/v1/nowhere", good, 404, "not_found"),
        Bad { method: Method::PUT, ..bad("wrong method", good, 405, "method_not_allowed") },
        Bad { method: Method::GET, body: vec![], ..bad("get a command", good, 405, "method_not_allowed") },
        Bad { api_key: Some(scene.shop.key.clone()), ..bad("merchant deposits", good, 403, "forbidden") },
        Bad {
            api_key: Some(scene.ledger.auditor.clone()),
            ..bad("auditor deposits", good, 403, "forbidden")
        },
        Bad {
            api_key: Some(scene.ledger.analyst.clone()),
            ..bad("analyst deposits", good, 403, "forbidden")
        },
        Bad {
            api_key: Some(scene.ledger.operator.clone()),
            ..scene.bad("operator captures", &payment, "{}", 403, "forbidden")
        },
        Bad { api_key: Some(scene.shop.key.clone()), ..bad("403 before 400", "{", 403, "forbidden") },
        Bad { body: ten_megabytes.clone(), ..bad("ten megabytes", "", 413, "payload_too_large") },
        Bad {
            body: ten_megabytes,
            content_type: Some("text/plain"),
            ..bad("413 before 415", "", 413, "payload_too_large")
        },
        Bad { body: vec![b' '; 64 * 1024 + 1], ..bad("a byte too many", "", 413, "payload_too_large") },
        Bad { content_type: None, ..bad("no content type", good, 415, "unsupported_media_type") },
        Bad { content_type: Some("text/json"), ..bad("text json", good, 415, "unsupported_media_type") },
        Bad {
            content_type: Some("application/x-www-form-urlencoded"),
            ..bad("a form", "a=b", 415, "unsupported_media_type")
        },
        Bad {
            content_type: Some("application/json; charset=latin1"),
            ..bad("latin1", good, 415, "unsupported_media_type")
        },
        bad("empty body", "", 400, "malformed_json"),
        bad("half a body", r#"{"amount":"#, 400, "malformed_json"),
        bad("trailing text", r#"{"amount":{"amount":5,"currency":"EUR"}} x"#, 400, "malformed_json"),
        bad("trailing comma", r#"{"amount":{"amount":5,"currency":"EUR"},}"#, 400, "malformed_json"),
        bad("single quotes", "{'amount':1}", 400, "malformed_json"),
        bad(
            "a member twice",
            r#"{"amount":{"amount":5,"currency":"EUR"},"amount":{"amount":6,"currency":"EUR"}}"#,
            400,
            "malformed_json",
        ),
        bad(
            "an inner member twice",
            r#"{"amount":{"amount":5,"amount":6,"currency":"EUR"}}"#,
            400,
            "malformed_json",
        ),
        bad(
            "an escaped member twice",
            r#"{"amount":{"amount":5,"\u0061mount":6,"currency":"EUR"}}"#,
            400,
            "malformed_json",
        ),
        bad(
            "half a surrogate",
            r#"{"amount":{"amount":5,"currency":"EUR"},"reference":"\ud800"}"#,
            400,
            "malformed_json",
        ),
        bad("a leading zero", r#"{"amount":{"amount":05,"currency":"EUR"}}"#, 400, "malformed_json"),
        bad("nan", r#"{"amount":{"amount":NaN,"currency":"EUR"}}"#, 400, "malformed_json"),
        bad("a control character", "{\"reference\":\"a\nb\"}", 400, "malformed_json"),
        Bad { body: b"{\"reference\":\"\xff\xfe\"}".to_vec(), ..bad("bad utf8", "", 400, "malformed_json") },
        Bad { body: "[".repeat(50_000).into_bytes(), ..bad("deep nesting", "", 400, "malformed_json") },
        Bad { idempotency_key: None, ..bad("no idempotency key", good, 400, "idempotency_key_required") },
        Bad {
            idempotency_key: Some(vec![]),
            ..bad("empty idempotency key", good, 400, "idempotency_key_invalid")
        },
        Bad {
            idempotency_key: Some(vec![b'k'; 256]),
            ..bad("long idempotency key", good, 400, "idempotency_key_invalid")
        },
        Bad {
            idempotency_key: Some(b"two words".to_vec()),
            ..bad("a space in the key", good, 400, "idempotency_key_invalid")
        },
        Bad {
            idempotency_key: Some("é".into()),
            ..bad("no ascii in the key", good, 400, "idempotency_key_invalid")
        },
        Bad { idempotency_key: None, ..bad("400 json before 400 key", "{", 400, "malformed_json") },
        Bad { idempotency_key: None, ..bad("400 key before 422", "{}", 400, "idempotency_key_required") },
    ]
}

/// Amounts and references.
fn amounts(scene: &Scene) -> Vec<Bad> {
    let path = deposit(scene);
    let at = |name, amount: Value, error| {
        scene.invalid(
            name,
            &path,
            &json!({ "amount": { "amount": amount, "currency": "EUR" } }),
            ("/amount/amount", error),
        )
    };
    let raw = |name, amount: &str, error| Bad {
        error: Some(("/amount/amount", error)),
        ..scene.bad(
            name,
            &path,
            format!(r#"{{"amount":{{"amount":{amount},"currency":"EUR"}}}}"#),
            422,
            "invalid_request",
        )
    };
    let with = |name, more: Value, error| {
        let mut body = json!({ "amount": { "amount": 5, "currency": "EUR" } });
        more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        scene.invalid(name, &path, &body, error)
    };
    vec![
        at("zero", json!(0), "out_of_range"),
        at("negative", json!(-1), "out_of_range"),
        at("one too many", json!(1_000_000_000_000_i64), "out_of_range"),
        raw("beyond integers", "99999999999999999999999999", "out_of_range"),
        raw("a float", "1.5", "wrong_type"),
        raw("a whole float", "5.0", "wrong_type"),
        raw("an exponent", "1e3", "wrong_type"),
        at("a string amount", json!("100"), "wrong_type"),
        at("a true amount", json!(true), "wrong_type"),
        at("a list amount", json!([5]), "wrong_type"),
        at("no amount", json!(null), "required"),
        with(
            "unknown currency",
            json!({ "amount": { "amount": 5, "currency": "ABC" } }),
            ("/amount/currency", "unsupported_currency"),
        ),
        with(
            "lower case currency",
            json!({ "amount": { "amount": 5, "currency": "eur" } }),
            ("/amount/currency", "unsupported_currency"),
        ),
        with(
            "gold",
            json!({ "amount": { "amount": 5, "currency": "XAU" } }),
            ("/amount/currency", "unsupported_currency"),
        ),
        with(
            "a number as currency",
            json!({ "amount": { "amount": 5, "currency": 978 } }),
            ("/amount/currency", "wrong_type"),
        ),
        with("no currency", json!({ "amount": { "amount": 5 } }), ("/amount/currency", "required")),
        with("amount is a number", json!({ "amount": 5 }), ("/amount", "wrong_type")),
        with("no money at all", json!({ "amount": null }), ("/amount", "required")),
        with(
            "more in money",
            json!({ "amount": { "amount": 5, "currency": "EUR", "scale": 2 } }),
            ("/amount/scale", "unknown"),
        ),
        with("an unknown member", json!({ "colour": "red" }), ("/colour", "unknown")),
        with("an unspeakable member", json!({ "Card Number": "x" }), ("/<unnamed>", "unknown")),
        with("a number as reference", json!({ "reference": 7 }), ("/reference", "wrong_type")),
        with("a long reference", json!({ "reference": "x".repeat(256) }), ("/reference", "too_long")),
        with("a zero character", json!({ "reference": "a\u{0}b" }), ("/reference", "invalid_format")),
        with(
            "a card number in text",
            json!({ "reference": "for 4242 4242 4242 4242" }),
            ("/reference", "sensitive_data"),
        ),
        scene.invalid("a list body", &path, &json!([]), ("", "wrong_type")),
        scene.invalid("a string body", &path, &json!("x"), ("", "wrong_type")),
        scene.invalid(
            "an unknown parameter",
            &format!("{path}?dry_run=1"),
            &json!({ "amount": { "amount": 5, "currency": "EUR" } }),
            ("/dry_run", "unknown"),
        ),
    ]
}

/// Payments and cards.
fn payments(scene: &Scene) -> Vec<Bad> {
    let at = |name, pointer: &'static str, value: Value, error| {
        scene.invalid(name, "/v1/payments", &scene.payment_with(pointer, value), (pointer, error))
    };
    let many: Value =
        (0..51).map(|n| (format!("k{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    let heavy: Value =
        (0..40).map(|n| (format!("k{n}"), json!("v".repeat(450)))).collect::<serde_json::Map<_, _>>().into();
    let cards = format!("/v1/clients/{}/cards", scene.ada.id);
    vec![
        at("no card", "/card", json!(null), "required"),
        at("card is text", "/card", json!("4242424242424242"), "wrong_type"),
        at("a short number", "/card/number", json!("42424242424"), "invalid_format"),
        at("a long number", "/card/number", json!("42424242424242424242"), "invalid_format"),
        at("letters in the number", "/card/number", json!("4242x24242424242"), "invalid_format"),
        at("two spaces in the number", "/card/number", json!("4242  4242 4242 4242"), "invalid_format"),
        at("the number as number", "/card/number", json!(4_242_424_242_424_242_i64), "wrong_type"),
        at("month zero", "/card/exp_month", json!(0), "out_of_range"),
        at("month thirteen", "/card/exp_month", json!(13), "out_of_range"),
        at("the month as text", "/card/exp_month", json!("12"), "wrong_type"),
        at("a short year", "/card/exp_year", json!(27), "out_of_range"),
        at("a long year", "/card/exp_year", json!(20_270), "out_of_range"),
        at("a short cvc", "/card/cvc", json!("12"), "invalid_format"),
        at("a long cvc", "/card/cvc", json!("12345"), "invalid_format"),
        at("letters in the cvc", "/card/cvc", json!("12a"), "invalid_format"),
        at("the cvc as number", "/card/cvc", json!(123), "wrong_type"),
        at("no cvc", "/card/cvc", json!(null), "required"),
        at("a holder", "/card/holder", json!("Ada"), "unknown"),
        at("a third capture mode", "/capture", json!("later"), "invalid_format"),
        at("a long description", "/description", json!("x".repeat(1_001)), "too_long"),
        at(
            "a card number in the description",
            "/description",
            json!("5555-5555-5555-4444"),
            "sensitive_data",
        ),
        at("metadata is a list", "/metadata", json!([]), "wrong_type"),
        at("too many metadata", "/metadata", many, "too_long"),
        at("too heavy metadata", "/metadata", heavy, "too_long"),
        scene.invalid(
            "a number in metadata",
            "/v1/payments",
            &scene.payment_with("/metadata", json!({ "n": 1 })),
            ("/metadata/n", "wrong_type"),
        ),
        scene.invalid(
            "a long metadata value",
            "/v1/payments",
            &scene.payment_with("/metadata", json!({ "n": "x".repeat(501) })),
            ("/metadata/n", "too_long"),
        ),
        scene.invalid(
            "a card number in metadata",
            "/v1/payments",
            &scene.payment_with("/metadata", json!({ "n": "378282246310005" })),
            ("/metadata/n", "sensitive_data"),
        ),
        at("final as text", "/final", json!("yes"), "unknown"),
        scene.invalid(
            "final is no bool",
            &format!("/v1/payments/{}/capture", scene.payment),
            &json!({ "final": "yes" }),
            ("/final", "wrong_type"),
        ),
        scene.invalid("an unknown brand", &cards, &json!({ "brand": "acme" }), ("/brand", "invalid_format")),
        scene.invalid(
            "an invalid number to register",
            &cards,
            &json!({ "number": "4242424242424241" }),
            ("/number", "invalid_format"),
        ),
        scene.invalid(
            "an expired card to register",
            &cards,
            &json!({ "exp_month": 1, "exp_year": 2020 }),
            ("/exp_year", "out_of_range"),
        ),
    ]
}

/// Clients, merchants, keys.
fn people(scene: &Scene) -> Vec<Bad> {
    let merchant = |name, more: Value, error| {
        let mut body = json!({ "name": "Shop", "fee": { "percent": "1.4", "fixed": [] } });
        more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        scene.invalid(name, "/v1/merchants", &body, error)
    };
    let euro = json!({ "amount": 5, "currency": "EUR" });
    let settings = format!("/v1/merchants/{}/settings", scene.shop.id);
    vec![
        scene.invalid("no name", "/v1/clients", &json!({}), ("/name", "required")),
        scene.invalid("an empty name", "/v1/clients", &json!({ "name": "" }), ("/name", "too_short")),
        scene.invalid(
            "a long name",
            "/v1/clients",
            &json!({ "name": "x".repeat(201) }),
            ("/name", "too_long"),
        ),
        scene.invalid(
            "no e-mail",
            "/v1/clients",
            &json!({ "name": "Ada", "email": "nowhere" }),
            ("/email", "invalid_format"),
        ),
        merchant(
            "percent as number",
            json!({ "fee": { "percent": 1.4, "fixed": [] } }),
            ("/fee/percent", "wrong_type"),
        ),
        merchant(
            "percent above all",
            json!({ "fee": { "percent": "100.1", "fixed": [] } }),
            ("/fee/percent", "out_of_range"),
        ),
        merchant(
            "percent as exponent",
            json!({ "fee": { "percent": "1e1", "fixed": [] } }),
            ("/fee/percent", "invalid_format"),
        ),
        merchant(
            "a currency twice",
            json!({ "fee": { "percent": "1", "fixed": [euro, euro] } }),
            ("/fee/fixed/1/currency", "invalid_format"),
        ),
        merchant(
            "thirty-one days",
            json!({ "settlement_delay_days": 31 }),
            ("/settlement_delay_days", "out_of_range"),
        ),
        merchant(
            "minus one day",
            json!({ "settlement_delay_days": -1 }),
            ("/settlement_delay_days", "out_of_range"),
        ),
        merchant("a third refund fee", json!({ "refund_fee": "half" }), ("/refund_fee", "invalid_format")),
        merchant("limit is no list", json!({ "negative_limit": euro }), ("/negative_limit", "wrong_type")),
        scene.invalid("settings with a name", &settings, &json!({ "name": "New" }), ("/name", "unknown")),
        scene.invalid(
            "an unknown role",
            "/v1/api-keys",
            &json!({ "role": "god" }),
            ("/role", "invalid_format"),
        ),
        scene.invalid(
            "a merchant's key for nobody",
            "/v1/api-keys",
            &json!({ "role": "merchant" }),
            ("/merchant_id", "required"),
        ),
        scene.invalid(
            "an operator's key for a merchant",
            "/v1/api-keys",
            &json!({ "role": "operator", "merchant_id": scene.shop.id }),
            ("/merchant_id", "unknown"),
        ),
    ]
}

/// Objects that are not there, or not the caller's.
fn objects(scene: &Scene) -> Vec<Bad> {
    let payment = |verb: &str| format!("/v1/payments/{}/{verb}", scene.payment);
    let nothing = "00000000000070008000000000000000";
    let money = r#"{"amount":{"amount":5,"currency":"EUR"}}"#;
    let missing = |name, path: &str, body: &str| scene.bad(name, path, body, 404, "not_found");
    let foreign =
        |name, path: &str| Bad { api_key: Some(scene.other.key.clone()), ..missing(name, path, "{}") };
    vec![
        foreign("another's capture", &payment("capture")),
        foreign("another's void", &payment("void")),
        foreign("another's refund", &payment("refunds")),
        missing("no such payment", &format!("/v1/payments/pay_{nothing}/capture"), "{}"),
        missing("a malformed payment id", "/v1/payments/pay_1/capture", "{}"),
        missing("a client's id for a payment", &format!("/v1/payments/{}/capture", scene.ada.id), "{}"),
        missing("no such client", &format!("/v1/clients/cli_{nothing}/deposits"), money),
        missing("a malformed client id", "/v1/clients/x/deposits", money),
        missing("no such card", &format!("/v1/cards/card_{nothing}/block"), "{}"),
        missing("no such merchant", &format!("/v1/merchants/mer_{nothing}/settings"), "{}"),
        missing("no such key", &format!("/v1/api-keys/key_{nothing}/revoke"), "{}"),
        missing(
            "a key for no merchant",
            "/v1/api-keys",
            &json!({ "role": "merchant", "merchant_id": format!("mer_{nothing}") }).to_string(),
        ),
        Bad {
            error: Some(("/amount/amount", "out_of_range")),
            ..scene.bad(
                "422 before 404",
                "/v1/clients/x/deposits",
                r#"{"amount":{"amount":0,"currency":"EUR"}}"#,
                422,
                "invalid_request",
            )
        },
        missing(
            "404 before currency",
            &format!("/v1/payments/pay_{nothing}/capture"),
            r#"{"amount":{"amount":5,"currency":"JPY"}}"#,
        ),
    ]
}

#[tokio::test]
async fn each_is_refused_and_leaves_the_log_as_it_was() {
    let scene = Scene::open().await;
    let mut list = at_the_door(&scene);
    list.extend(amounts(&scene));
    list.extend(payments(&scene));
    list.extend(people(&scene));
    list.extend(objects(&scene));
    assert!(list.len() >= 80, "{}", list.len());
    let before = (
        scene.ledger.head().await,
        scene.ledger.count("outcomes").await,
        scene.ledger.count("subject_keys").await,
    );
    let mut wrong = Vec::new();
    for bad in &list {
        let answer = scene.send(bad).await;
        let found = |(pointer, code): (&str, &str)| {
            let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
            errors.iter().any(|error| error["pointer"] == pointer && error["code"] == code)
        };
        let as_expected = (answer.status, answer.code()) == (bad.status, bad.code)
            && answer.header("content-type") == "application/problem+json"
            && answer.body["request_id"] == answer.header("request-id")
            && bad.error.is_none_or(found);
        if !as_expected {
            wrong.push(format!(
                "{}: wanted {} {} {:?}, got {}",
                bad.name, bad.status, bad.code, bad.error, answer.text
            ));
        }
        assert!(!answer.text.contains("4242424242") && !answer.text.contains("4242 4242"), "{}", answer.text);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), list.len(), wrong.join("\n"));
    let after = (
        scene.ledger.head().await,
        scene.ledger.count("outcomes").await,
        scene.ledger.count("subject_keys").await,
    );
    assert_eq!(before, after);
    scene.ledger.finish().await;
}

#[tokio::test]
async fn all_errors_of_a_body_are_named_at_once() {
    let scene = Scene::open().await;
    let body = json!({
        "amount": { "amount": "x", "currency": "ABC" },
        "card": { "number": "1", "exp_month": 13, "exp_year": 1, "cvc": "x" },
        "capture": "never", "nonsense": 1,
    });
    let answer = scene
        .ledger
        .post(&scene.shop.key, "/v1/payments?dry_run=1", body)
        .await
        .expect_code(422, "invalid_request");
    let errors = answer.body["errors"].as_array().unwrap();
    let mut pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    let expected = [
        "/amount/amount",
        "/amount/currency",
        "/capture",
        "/card/cvc",
        "/card/exp_month",
        "/card/exp_year",
        "/card/number",
        "/dry_run",
        "/nonsense",
    ];
    assert_eq!(pointers, expected);
    scene.ledger.finish().await;
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_at_once() {
    let scene = Scene::open().await;
    let body = json!({ "role": "operator" });
    let key = scene.ledger.post(&scene.ledger.operator, "/v1/api-keys", body).await.expect(201);
    let secret = key.text_of("secret");
    scene.ledger.post(&secret, "/v1/clients", json!({ "name": "Eve" })).await.expect(201);
    let path = format!("/v1/api-keys/{}/revoke", key.text_of("id"));
    scene.ledger.post(&scene.ledger.operator, &path, json!({})).await.expect(200);
    scene
        .ledger
        .post(&secret, "/v1/clients", json!({ "name": "Eve" }))
        .await
        .expect_code(401, "unauthenticated");
    let asked = scene.ledger.query(Method::GET, "/v1/clients").bearer_auth(&secret).send().await.unwrap();
    assert_eq!(asked.status(), 401);
    scene.ledger.finish().await;
}

#[tokio::test]
async fn a_request_id_is_echoed_or_replaced() {
    let scene = Scene::open().await;
    for (sent, echoed) in
        [("order-7.a_B", true), ("two words", false), ("4242424242424242", false), (&"x".repeat(65), false)]
    {
        let request = scene.ledger.command(Method::POST, "/v1/clients").bearer_auth(&scene.ledger.operator);
        let request = request.header("Request-Id", sent).header("Idempotency-Key", sent.replace(' ', "-"));
        let answer =
            Answer::read(request.json(&json!({ "name": "Ada" })).send().await.unwrap()).await.unwrap();
        assert_eq!(answer.header("request-id") == sent, echoed, "{sent}");
        assert!(!answer.header("request-id").is_empty());
    }
    scene.ledger.finish().await;
}
