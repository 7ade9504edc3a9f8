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
