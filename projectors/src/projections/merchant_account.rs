//! `merchant-account`: merchants, their balances, one entry per posting, and what was paid out.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use event_store::read_model::{self, ReadModel};
use ledger_core::event::{Event, JournalCorrected, MerchantOpened, Reversed, Settings};
use ledger_core::ids::{MerchantId, StreamId};
use ledger_core::{Account, Envelope, Owner};
use sqlx::PgConnection;

use super::accounts::{self, Accounts};
use crate::projection::{ApplyError, Decoded, Projection, expect_rows, json_text};

/// The projection.
pub(super) struct MerchantAccount;

#[async_trait]
impl Projection for MerchantAccount {
    fn model(&self) -> ReadModel {
        read_model::MERCHANT_ACCOUNT
    }

    fn keys(&self, event: &Envelope) -> Vec<String> {
        let owners = event.draft.postings.postings().iter().filter_map(|posting| posting.account.owner());
        let mut merchants: BTreeSet<MerchantId> = owners
            .filter_map(|owner| match owner {
                Owner::Merchant(id) => Some(id),
                Owner::Client(_) => None,
            })
            .collect();
        if let StreamId::Merchant(id) = event.stream_id() {
            merchants.insert(id);
        }
        merchants.iter().map(MerchantId::to_string).collect()
    }

    async fn apply(&self, tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
        apply_merchants(tables, events).await?;
        apply_postings(tables, events).await?;
        apply_payouts(tables, events).await
    }
}

/// What later events of merchants' own streams have changed, and the last of each.
struct Change<'a> {
    last: &'a Decoded,
    settings: Option<&'a Settings>,
    status: Option<&'static str>,
}

async fn apply_merchants(tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
    let mut opened: Vec<(MerchantId, &Decoded, &MerchantOpened)> = Vec::new();
    let mut changed: BTreeMap<MerchantId, Change<'_>> = BTreeMap::new();
    for event in events {
        let StreamId::Merchant(id) = event.envelope.stream_id() else { continue };
        if let Event::MerchantOpened(merchant) = event.envelope.event() {
            opened.push((id, event, merchant));
            continue;
        }
        let change = changed.entry(id).or_insert(Change { last: event, settings: None, status: None });
        change.last = event;
        match event.envelope.event() {
            Event::MerchantSettingsChanged(settings) => change.settings = Some(settings),
            Event::MerchantSuspended(_) => change.status = Some("suspended"),
            Event::MerchantReinstated(_) => change.status = Some("active"),
            _ => {}
        }
    }
    if !opened.is_empty() {
        insert_merchants(tables, &opened).await?;
    }
    if !changed.is_empty() {
        change_merchants(tables, &changed).await?;
    }
    Ok(())
}

async fn insert_merchants(
    tables: &mut PgConnection,
    opened: &[(MerchantId, &Decoded, &MerchantOpened)],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO merchants (id, name, status, settings, metadata, created_at, updated_at, position)
         SELECT id, name, 'active', settings, metadata, created_at, created_at, position
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
              AS new (id, name, settings, metadata, created_at, position)",
    )
    .bind(opened.iter().map(|(id, ..)| id.to_string()).collect::<Vec<_>>())
    .bind(opened.iter().map(|(.., merchant)| merchant.name.as_str()).collect::<Vec<_>>())
    .bind(opened.iter().map(|(.., merchant)| json_text(&merchant.settings)).collect::<Vec<_>>())
    .bind(opened.iter().map(|(.., merchant)| merchant.metadata.as_ref().map(json_text)).collect::<Vec<_>>())
    .bind(opened.iter().map(|(_, event, _)| event.recorded_at()).collect::<Vec<_>>())
    .bind(opened.iter().map(|(_, event, _)| event.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    Ok(())
}

async fn change_merchants(
    tables: &mut PgConnection,
    changed: &BTreeMap<MerchantId, Change<'_>>,
) -> Result<(), ApplyError> {
    let done = sqlx::query(
        "UPDATE merchants SET settings = coalesce(new.settings, merchants.settings),
                status = coalesce(new.status, merchants.status),
                updated_at = new.updated_at, position = new.position
         FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
              AS new (id, settings, status, updated_at, position)
         WHERE merchants.id = new.id",
    )
    .bind(changed.keys().map(MerchantId::to_string).collect::<Vec<_>>())
    .bind(changed.values().map(|change| change.settings.map(json_text)).collect::<Vec<_>>())
    .bind(changed.values().map(|change| change.status).collect::<Vec<_>>())
    .bind(changed.values().map(|change| change.last.recorded_at()).collect::<Vec<_>>())
    .bind(changed.values().map(|change| change.last.position()).collect::<Vec<_>>())
    .execute(tables)
    .await?;
    expect_rows("merchants", changed.len(), done.rows_affected())
}

const ACCOUNTS: [&str; 4] = ["pending", "available", "reserved", "in_transit"];

fn place(account: Account) -> Option<(Owner, usize)> {
    match account {
        Account::MerchantPending(id) => Some((Owner::Merchant(id), 0)),
        Account::MerchantAvailable(id) => Some((Owner::Merchant(id), 1)),
        Account::MerchantReserved(id) => Some((Owner::Merchant(id), 2)),
        Account::MerchantInTransit(id) => Some((Owner::Merchant(id), 3)),
        Account::ClientAvailable(_)
        | Account::ClientHeld(_)
        | Account::HouseFees
        | Account::HouseBank
        | Account::HouseFx
        | Account::HouseLosses => None,
    }
}

async fn apply_postings(tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
    let mut balances = Accounts::touched_by(events, ACCOUNTS, place);
    if balances.is_empty() {
        return Ok(());
    }
    load_balances(tables, &mut balances).await?;
    let entries = balances.fold()?;
    write_balances(tables, &balances).await?;
    let insert = "INSERT INTO merchant_entries
             (merchant_id, position, ordinal, account, currency, amount, balance_after, type, payment_id, recorded_at)
         SELECT unnest($1::text[]), unnest($2::bigint[]), unnest($3::smallint[]), unnest($4::text[]),
                unnest($5::text[]), unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::text[]),
                unnest($9::text[]), unnest($10::timestamptz[])";
    Ok(accounts::insert_entries(tables, insert, &entries).await?)
}

async fn load_balances(tables: &mut PgConnection, balances: &mut Accounts<'_, 4>) -> Result<(), sqlx::Error> {
    let rows: Vec<(String, String, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT merchant_id, currency, pending, available, reserved, in_transit FROM merchant_balances
         JOIN unnest($1::text[], $2::text[]) AS touched (merchant_id, currency) USING (merchant_id, currency)",
    )
    .bind(balances.owners())
    .bind(balances.currencies())
    .fetch_all(tables)
    .await?;
    for (merchant, currency, pending, available, reserved, in_transit) in rows {
        balances.begin_with(&merchant, &currency, [pending, available, reserved, in_transit])?;
    }
    Ok(())
}

async fn write_balances(tables: &mut PgConnection, balances: &Accounts<'_, 4>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO merchant_balances
             (merchant_id, currency, pending, available, reserved, in_transit, position)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[],
                              $5::bigint[], $6::bigint[], $7::bigint[])
         ON CONFLICT (merchant_id, currency) DO UPDATE
         SET pending = excluded.pending, available = excluded.available, reserved = excluded.reserved,
             in_transit = excluded.in_transit, position = excluded.position",
    )
    .bind(balances.owners())
    .bind(balances.currencies())
    .bind(balances.amounts(0))
    .bind(balances.amounts(1))
    .bind(balances.amounts(2))
    .bind(balances.amounts(3))
    .bind(balances.positions())
    .execute(tables)
    .await?;
    Ok(())
}

/// What a payout that was paid, has come back or was not paid after all does to what was paid out.
#[derive(PartialEq, Eq, Debug)]
struct PaidOut {
    merchant: String,
    currency: String,
    position: i64,
    change: i64,
}

impl PaidOut {
    fn of(event: &Decoded) -> Option<Self> {
        let (merchant, money, change) = match event.envelope.event() {
            Event::PayoutPaid(payout) => (payout.merchant_id, payout.amount, payout.amount.amount),
            Event::PayoutReturned(payout) => (payout.merchant_id, payout.amount, -payout.amount.amount),
            Event::JournalCorrected(JournalCorrected {
                reversed: Reversed::PayoutPaid { merchant_id, amount },
                ..
            }) => (*merchant_id, *amount, -amount.amount),
            _ => return None,
        };
        let (merchant, currency) = (merchant.to_string(), money.currency.to_string());
        Some(Self { merchant, currency, position: event.position(), change })
    }
}

async fn apply_payouts(tables: &mut PgConnection, events: &[&Decoded]) -> Result<(), ApplyError> {
    let payouts: Vec<PaidOut> = events.iter().filter_map(|event| PaidOut::of(event)).collect();
    if payouts.is_empty() {
        return Ok(());
    }
    let merchants = payouts.iter().map(|payout| payout.merchant.as_str()).collect::<Vec<_>>();
    let currencies = payouts.iter().map(|payout| payout.currency.as_str()).collect::<Vec<_>>();
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT touched.merchant_id, touched.currency, last.paid_out_after
         FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) AS touched (merchant_id, currency)
         CROSS JOIN LATERAL (SELECT paid_out_after FROM merchant_paid_out AS entry
                             WHERE entry.merchant_id = touched.merchant_id AND entry.currency = touched.currency
                             ORDER BY entry.position DESC LIMIT 1) AS last",
    )
    .bind(&merchants)
    .bind(&currencies)
    .fetch_all(&mut *tables)
    .await?;
    let before = rows.into_iter().map(|(merchant, currency, paid)| ((merchant, currency), paid)).collect();
    let totals = paid_out_after(&payouts, before)?;
    sqlx::query(
        "INSERT INTO merchant_paid_out (merchant_id, currency, position, paid_out_after)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])",
    )
    .bind(&merchants)
    .bind(&currencies)
    .bind(payouts.iter().map(|payout| payout.position).collect::<Vec<_>>())
    .bind(totals)
    .execute(tables)
    .await?;
    Ok(())
}

/// Returns what was paid out after each of the payouts.
fn paid_out_after(
    payouts: &[PaidOut],
    mut totals: BTreeMap<(String, String), i64>,
) -> Result<Vec<i64>, ApplyError> {
    let after = |PaidOut { merchant, currency, change, .. }: &PaidOut| {
        let total = totals.entry((merchant.clone(), currency.clone())).or_default();
        let (owner, currency) = (merchant.clone(), currency.clone());
        *total = total.checked_add(*change).ok_or(ApplyError::OutOfRange { owner, currency })?;
        Ok(*total)
    };
    payouts.iter().map(after).collect()
}

#[cfg(test)]
mod tests {
    use ledger_core::event::PayoutChanged;
    use ledger_core::ids::{CorrectionId, EventId, PayoutId};
    use ledger_core::journal::JournalEntry;
    use sqlx::types::Uuid;

    use super::*;
    use crate::testing::{eur, event, merchant};

    #[test]
    fn what_has_come_back_was_not_paid_out() {
        let payout = |position, of: fn(PayoutChanged) -> Event, amount| {
            let stream = StreamId::Payout(PayoutId::new(Uuid::from_u128(1)));
            let changed = PayoutChanged { merchant_id: merchant(1), amount: eur(amount), reason: None };
            event(position, stream, of(changed), JournalEntry::none())
        };
        let corrected = |position, reversed| {
            let of = JournalCorrected {
                correction_id: CorrectionId::new(Uuid::from_u128(1)),
                reverses: EventId::new(Uuid::from_u128(2)),
                reversed,
                effective_date: "2026-11-24".parse().unwrap(),
                dispute: None,
            };
            let stream = StreamId::Payout(PayoutId::new(Uuid::from_u128(1)));
            event(position, stream, Event::JournalCorrected(of), JournalEntry::none())
        };
        let events = [
            payout(5, Event::PayoutPaid, 100),
            payout(6, Event::PayoutFailed, 7),
            payout(8, Event::PayoutReturned, 100),
            payout(9, Event::PayoutPaid, 3),
            corrected(10, Reversed::PayoutPaid { merchant_id: merchant(1), amount: eur(3) }),
            corrected(11, Reversed::MerchantDeposited { amount: eur(5) }),
        ];
        let payouts: Vec<PaidOut> = events.iter().filter_map(PaidOut::of).collect();
        let before = BTreeMap::from([((merchant(1).to_string(), "EUR".to_owned()), 40)]);
        assert_eq!(paid_out_after(&payouts, before).unwrap(), [140, 40, 43, 40]);
        assert_eq!(payouts.iter().map(|payout| payout.position).collect::<Vec<_>>(), [5, 8, 9, 10]);
        let full = BTreeMap::from([((merchant(1).to_string(), "EUR".to_owned()), i64::MAX)]);
        assert!(matches!(paid_out_after(&payouts, full), Err(ApplyError::OutOfRange { .. })));
    }
}
