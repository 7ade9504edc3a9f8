//! Many at once on one payment: totals exact, losers told so.

use std::sync::Arc;

use ledger_tests::TestLedger;
use serde_json::json;
use tokio::task::JoinSet;

#[tokio::test]
async fn sixty_four_capture_and_refund_one_payment_twenty_times_over() {
    let ledger = Arc::new(TestLedger::start().await.unwrap());
    let shop = ledger.merchant(json!({})).await;
    let ada = ledger.client(1_000_000, "EUR").await;
    for _ in 0..20 {
        let id = ledger.pay(&shop, &ada, 10_000, "manual").await.expect(201).text_of("id");
        let mut tasks = JoinSet::new();
        for _ in 0..64 {
            let (ledger, shop, id) = (Arc::clone(&ledger), shop.clone(), id.clone());
            tasks.spawn(async move {
                let part = json!({ "amount": { "amount": 200, "currency": "EUR" }, "final": false });
                let captured = ledger.act(&shop, &id, "capture", part).await;
                let part = json!({ "amount": { "amount": 150, "currency": "EUR" } });
                (captured, ledger.act(&shop, &id, "refunds", part).await)
            });
        }
        let (mut captured, mut refunded) = (0, 0);
        for (capture, refund) in tasks.join_all().await {
            match capture.status {
                200 => captured += 200,
                _ => drop(capture.expect_code(409, "payment_not_capturable")),
            }
            match (refund.status, refund.code()) {
                (201, _) => refunded += 150,
                (409, "refund_exceeds_captured" | "payment_not_refundable") => {}
                _ => panic!("{}", refund.text),
            }
        }
        let payment = ledger.get(&shop.key, &format!("/v1/payments/{id}")).await.expect(200);
        assert_eq!(captured, 10_000);
        assert_eq!((payment.amount_of("captured"), payment.amount_of("refunded")), (captured, refunded));
        assert_eq!(payment.amount_of("capturable"), 0);
    }
    Arc::into_inner(ledger).unwrap().finish().await;
}

#[tokio::test]
async fn a_hundred_withdrawals_share_what_is_there() {
    let ledger = Arc::new(TestLedger::start().await.unwrap());
    let ada = ledger.client(1_000, "EUR").await;
    let path = format!("/v1/clients/{}/withdrawals", ada.id);
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (ledger, path) = (Arc::clone(&ledger), path.clone());
        tasks.spawn(async move {
            let body = json!({ "amount": { "amount": 100, "currency": "EUR" } });
            ledger.post(&ledger.operator, &path, body).await.status
        });
    }
    let statuses = tasks.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10);
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 90);
    Arc::into_inner(ledger).unwrap().finish().await;
}
