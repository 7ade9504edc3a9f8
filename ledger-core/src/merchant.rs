//! Merchants: opened once, their settings changed at will.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::{ChangeSettings, Context, OpenMerchant};
use crate::envelope::{Draft, Envelope};
use crate::event::{Event, MerchantOpened, Settings};
use crate::ids::{EventId, MerchantId, StreamId};
use crate::journal::JournalEntry;
use crate::stamp::Stamp;

/// The longest time from a capture to its settlement, in days.
pub const SETTLEMENT_DELAY_DAYS_MAX: u32 = 30;

/// A merchant, folded from its stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Merchant {
    /// The merchant.
    pub id: MerchantId,
    /// The name.
    pub name: String,
    /// What the operator noted.
    pub metadata: Option<Value>,
    /// Today's settings.
    #[serde(flatten)]
    pub settings: Settings,
    /// Where the stream stands.
    #[serde(flatten)]
    pub stamp: Stamp,
}

impl Merchant {
    /// Begins a merchant with its first event.
    pub fn open(id: MerchantId, opened: &MerchantOpened, envelope: &Envelope) -> Self {
        let MerchantOpened { name, metadata, settings } = opened.clone();
        Self { id, name, metadata, settings, stamp: Stamp::first(envelope) }
    }

    /// Takes new settings.
    pub fn change_settings(&mut self, settings: &Settings, envelope: &Envelope) {
        self.settings = settings.clone();
        self.stamp.advance(envelope);
    }
}

/// Opens a merchant.
pub fn open(command: &OpenMerchant, context: &Context) -> Vec<Draft> {
    let OpenMerchant { id, name, metadata, settings } = command.clone();
    vec![draft(id, context.event_ids[0], Event::MerchantOpened(MerchantOpened { name, metadata, settings }))]
}

/// Changes settings; nothing happens if all is as it was.
pub fn change_settings(command: &ChangeSettings, merchant: &Merchant, context: &Context) -> Vec<Draft> {
    let ChangeSettings { id, fee, settlement_delay_days, refund_fee, negative_limit } = command.clone();
    let now = &merchant.settings;
    let settings = Settings {
        fee: fee.unwrap_or_else(|| now.fee.clone()),
        fee_version: now.fee_version,
        settlement_delay_days: settlement_delay_days.unwrap_or(now.settlement_delay_days),
        refund_fee: refund_fee.unwrap_or(now.refund_fee),
        negative_limit: negative_limit.unwrap_or_else(|| now.negative_limit.clone()),
    };
    if settings == *now {
        return Vec::new();
    }
    let settings = Settings { fee_version: now.fee_version.saturating_add(1), ..settings };
    vec![draft(id, context.event_ids[0], Event::MerchantSettingsChanged(settings))]
}

fn draft(id: MerchantId, event_id: EventId, event: Event) -> Draft {
    Draft { event_id, stream_id: StreamId::Merchant(id), event, postings: JournalEntry::none() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::command::{ChangeSettings, Command, OpenMerchant};
    use crate::event::{Event, MerchantOpened, Settings};
    use crate::fee::RefundFee;
    use crate::rejection::Rejection;
    use crate::testing::*;

    #[test]
    fn a_merchant_is_opened_with_its_settings() {
        let (name, metadata) = ("Corner shop".to_owned(), Some(json!({ "district": "north" })));
        let opened = MerchantOpened { name, metadata, settings: settings() };
        let MerchantOpened { name, metadata, settings } = opened.clone();
        let command = OpenMerchant { id: merchant(1), name, metadata, settings };
        let ledger = Ledger::new().when(Command::OpenMerchant(command));
        let found = ledger.state.merchant(merchant(1)).unwrap();
        assert_eq!(
            (&found.name, &found.metadata, &found.settings),
            (&opened.name, &opened.metadata, &opened.settings)
        );
        ledger.then([Event::MerchantOpened(opened)]);
    }

    /// Changes one setting of a merchant that has the standard ones.
    fn changes_to(edit: impl FnOnce(&mut ChangeSettings), expected: Settings) {
        let expected = Settings { fee_version: 2, ..expected };
        let ledger = Ledger::shop().when(change_settings(1, edit));
        assert_eq!(ledger.state.merchant(merchant(1)).unwrap().settings, expected);
        assert_eq!(ledger.state.merchant(merchant(1)).unwrap().stamp.version, 2);
        ledger.then([Event::MerchantSettingsChanged(expected)]);
    }

    #[test]
    fn what_is_not_said_stays() {
        let lower = fee("0.5", &[]);
        changes_to(|change| change.fee = Some(lower.clone()), Settings { fee: lower.clone(), ..settings() });
        changes_to(
            |change| change.settlement_delay_days = Some(30),
            Settings { settlement_delay_days: 30, ..settings() },
        );
        changes_to(
            |change| change.refund_fee = Some(RefundFee::Kept),
            Settings { refund_fee: RefundFee::Kept, ..settings() },
        );
        let limit = vec![eur(500), jpy(70)];
        changes_to(
            |change| change.negative_limit = Some(limit.clone()),
            Settings { negative_limit: limit.clone(), ..settings() },
        );
    }

    #[test]
    fn a_list_can_be_emptied() {
        let ledger = Ledger::shop()
            .given(change_settings(1, |change| change.negative_limit = Some(vec![eur(5)])))
            .given(change_settings(1, |change| change.negative_limit = Some(Vec::new())));
        let found = ledger.state.merchant(merchant(1)).unwrap();
        assert_eq!(found.settings, Settings { fee_version: 3, ..settings() });
    }

    #[test]
    fn settings_as_they_are_change_nothing() {
        Ledger::shop()
            .when(change_settings(1, |_| {}))
            .then_nothing()
            .when(change_settings(1, |change| {
                change.fee = Some(settings().fee);
                change.settlement_delay_days = Some(2);
                change.refund_fee = Some(RefundFee::Returned);
                change.negative_limit = Some(Vec::new());
            }))
            .then_nothing()
            .when(change_settings(1, |change| change.fee = Some(fee("1.4", &[eur(25)]))))
            .then_nothing();
    }

    #[test]
    fn nobody_has_no_settings() {
        Ledger::new().when(change_settings(1, |_| {})).then_rejected(Rejection::NotFound);
    }

    #[test]
    fn merchants_do_not_share_settings() {
        let ledger = Ledger::shop()
            .given(open_merchant(2))
            .given(change_settings(2, |change| change.settlement_delay_days = Some(0)));
        assert_eq!(ledger.state.merchant(merchant(1)).unwrap().settings, settings());
    }
}
